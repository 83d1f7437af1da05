import pytest
import yaml
from click.testing import CliRunner
from hospital import Hospital, write_pacs
from kedro.io import DataCatalog

from coala_kedro import cli, hospital_command


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, where the command writes."""
    monkeypatch.setattr(hospital_command, "ROOT", tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture(scope="session")
def oslo(tmp_path_factory):
    """A hospital of volumes."""
    return Hospital(tmp_path_factory.mktemp("oslo")).build().root


@pytest.fixture(scope="session")
def pacs(tmp_path_factory):
    """A hospital of DICOM series in folders of patients and days."""
    return write_pacs(tmp_path_factory.mktemp("pacs"))


@pytest.fixture(scope="session")
def run():
    """Run `kedro hospital new`."""

    def invoke(*arguments):
        return CliRunner().invoke(cli.cli, ["hospital", "new", *map(str, arguments)])

    return invoke


@pytest.fixture
def catalog(project, monkeypatch):
    """What was written for a hospital: the catalog as a run has it, and its text."""

    def load(name="oslo"):
        monkeypatch.chdir(project)
        text = (project / "conf" / name / "catalog.yml").read_text("utf-8")
        entries = yaml.safe_load(text)
        assert [key.split(".")[1] for key in entries] == [
            "scan_table", "raw_scans", "raw_reader_masks", "organ_segmenter",
        ]  # fmt: skip
        return DataCatalog.from_config(entries), text

    return load
