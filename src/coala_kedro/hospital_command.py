"""The command `kedro hospital new`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import pandas as pd
import yaml
from kedro.io import AbstractDataset, DatasetError

from coala_kedro.cohort import OUTLINED_ROLES, ROLES, CohortError, scans_with_role
from coala_kedro.context import COHORTS, study_cohorts
from coala_kedro.disk import DiskFullError, written_whole
from coala_kedro.scan_table_schema import check_scan_table
from coala_kedro.settings import ROOT
from coala_kedro.sources.entries import Proposal, examples
from coala_kedro.sources.proposal import propose
from coala_kedro.sources.proposed_table import ClinicalSheet, SheetError
from coala_kedro.tables import TableError, read_table


@click.group()
def hospital() -> None:
    """Bring a hospital's scans."""


@hospital.command()
@click.argument("name")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--cohort",
    default="internal",
    show_default=True,
    help="internal, of which models learn, or the name of a cohort that they are tested on.",
)
@click.option("--role", type=click.Choice(ROLES), default="test", show_default=True)
@click.option("--clinical", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--clinical-columns", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pseudonyms", is_flag=True, help="Make up scan ids; a file keeps whose they are.")
def new(
    name: str,
    folder: Path,
    cohort: str,
    role: str,
    clinical: Path | None,
    clinical_columns: Path | None,
    pseudonyms: bool,
) -> None:
    """Look at FOLDER and propose catalog entries and a scan table for the hospital NAME.

    Nothing that is there already is written over. Every entry is loaded once before it is written,
    and those that do not load are listed. With --clinical, a CSV or Excel sheet fills the scan
    table; --clinical-columns is a YAML file that says how, as conf/tcia_crlm/clinical.yml.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise click.ClickException(f"'{name}' must be small letters, digits and '_', such as oslo.")
    if bool(clinical) != bool(clinical_columns):
        raise click.ClickException("--clinical and --clinical-columns go together.")
    for stream in (sys.stdout, sys.stderr):  # a locale need not know what a folder is called
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with _errors_shown(pseudonyms):
        if cohort != "internal":
            study_cohorts([cohort])
        proposal = propose(
            name,
            folder.absolute(),
            cohort,
            role,
            *_sheet(clinical, clinical_columns),
            pseudonyms=pseudonyms,
            taken=_taken(ROOT / "data/01_raw", f"{name}/{cohort}"),
        )
    others = [p.parent.name for p in (ROOT / "data/01_raw" / name).glob("*/scans.csv")]
    if {*others} - {cohort}:
        proposal.to_check.append(
            f"Who is in another cohort of {name} too: everybody has a new patient_id here. Give a "
            "patient the same in both, or nobody can tell that the models were trained on them."
        )
    _name_cohort(proposal, name, cohort)
    click.echo("\n".join(proposal.found))
    for relative, content in proposal.files.items():
        _write(relative, content)
    _load(proposal, cohort)
    _write(f"conf/{name}/catalog.yml", proposal.catalog(name))
    if proposal.to_check:
        click.secho("\nTo be checked:", bold=True)
        click.echo("\n".join(f"- {line}" for line in proposal.to_check))
    namespace = f"kedro run --env {name} --pipelines preprocessing --namespaces {cohort}"
    click.echo(f"\nThen: {namespace}")


def _name_cohort(proposal: Proposal, name: str, cohort: str) -> None:
    """Have the environment name the cohort, or say how, if it does not yet."""
    external = [*COHORTS[1:]]
    for env in ("base", name):
        path = ROOT / "conf" / env / "globals.yml"
        own = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
        external = (own or {}).get("external_cohorts", external)
    if cohort in ("internal", *external):
        return
    line = f"external_cohorts: [{', '.join([*external, cohort])}]"
    relative = f"conf/{name}/globals.yml"
    if path.is_file():
        proposal.to_check.append(f"The study does not name the cohort: write {line} in {relative}.")
        return
    proposal.files[relative] = f"# The hospitals that models are only tested on.\n{line}\n"
    proposal.to_check.append(
        f"Which external cohorts the study has: {relative} now says {line}. Take out those that "
        "have no scans."
    )


@contextmanager
def _errors_shown(pseudonyms: bool) -> Iterator[None]:
    """Show what goes wrong; with pseudonyms, without what may tell who somebody is."""
    try:
        yield
    except SheetError as error:
        raise click.ClickException(error.discreet if pseudonyms else str(error)) from None
    except (ValueError, yaml.YAMLError) as error:
        raise click.ClickException(str(error)) from None
    except Exception as error:
        if not pseudonyms:
            raise
        raise click.ClickException(
            f"{type(error).__name__}: a file cannot be understood. Which and why may tell who "
            "somebody is; it is shown without --pseudonyms."
        ) from None


def _sheet(
    clinical: Path | None, columns: Path | None
) -> tuple[pd.DataFrame | None, ClinicalSheet | None]:
    if clinical is None or columns is None:
        return None, None
    try:
        sheet = read_table(clinical.read_bytes())
    except TableError as error:
        raise TableError(f"The clinical sheet {clinical} cannot be used: {error}.") from None
    description = yaml.safe_load(columns.read_text(encoding="utf-8"))
    return sheet, ClinicalSheet.model_validate(description)


def _taken(raw: Path, own: str) -> set[str]:
    """Patient ids in scan tables and pseudonyms of others, for the study joins them."""
    tables = [*raw.glob("*/*.csv"), *raw.glob("*/*/*.csv")]
    others = (path for path in tables if not path.is_relative_to(raw / own))
    texts = (path.read_text(encoding="latin-1") for path in others)
    return {patient for text in texts for patient in re.findall(r"P\d{3,}", text)}


def _load(proposal: Proposal, cohort: str) -> None:
    """Load every proposed entry, and note what does not load or fit."""
    loaded: list[Any] = []
    for key, entry in [*proposal.entries.items()]:
        options = {o: entry[o] for o in ("filepath", "path", "pseudonyms") if o in entry}
        files = {option: str(ROOT / path) for option, path in options.items()}
        try:
            dataset: Any = AbstractDataset.from_config(key, entry | files)
            loaded.append(dataset.load())
        except DatasetError as error:
            proposal.reject(key, str(error).replace(f"{ROOT}/", ""))
    if len(loaded) == len(proposal.entries):
        table, scans, masks, _ = loaded
        proposal.to_check += _mismatches(cohort, table, scans, masks)


def _mismatches(cohort: str, table: pd.DataFrame, scans: Any, masks: Any) -> list[str]:
    """What is wrong with the scan table, and scans of it that no file fits."""
    gaps = {"timepoint": "pre", "acquired_on": "2000-01-01"}  # these are listed already
    try:
        table = check_scan_table(table.fillna(gaps), cohort)
    except CohortError as error:
        return [str(error)]
    outlined = scans_with_role(table, *OUTLINED_ROLES) if masks else []
    masks = {key.rpartition("/")[2] for key in masks}
    absent = {"volume": {*table["scan_id"]} - {*scans}, "mask": {*outlined} - masks}
    return [
        f"The {what} of {len(ids)} of {len(table)} scans ({examples(ids)}): no {what} fits the "
        "entry. Mend its pattern, or the scans' rows in scans.csv."
        for what, ids in absent.items()
        if ids
    ]


def _write(relative: str, content: str | Path) -> None:
    """Write a text below the project, or a link to a folder, and say so."""
    path = ROOT / relative
    try:
        if isinstance(content, Path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(content)
        else:
            _write_new(path, content)
    except FileExistsError:
        click.secho(f"{relative} is there already and was left as it is.", fg="yellow")
    except DiskFullError as error:
        raise click.ClickException(str(error)) from None
    else:
        click.echo(f"wrote {relative}")


def _write_new(path: Path, text: str) -> None:
    if os.path.lexists(path):
        raise FileExistsError
    mode = 0o600 if path.name == "pseudonyms.csv" else 0o666  # that says whose the scans are
    content = text.encode()
    with (
        written_whole(path, "a file", len(content)) as unfinished,
        open(unfinished, "xb", opener=partial(os.open, mode=mode)) as file,
    ):
        file.write(content)
