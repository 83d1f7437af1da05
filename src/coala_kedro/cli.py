"""Commands of the project beside Kedro's own: `kedro hospital new`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pandas as pd
import yaml

from coala_kedro.cohort import COHORTS, ROLES
from coala_kedro.sources.proposal import Proposal, propose
from coala_kedro.sources.scan_table import ClinicalSheet, SheetError

ROOT = Path(__file__).parents[2]


@click.group(name="coala_kedro")
def cli() -> None:
    """Commands of coala_kedro."""


@cli.group()
def hospital() -> None:
    """Bring a hospital's scans."""


@hospital.command()
@click.argument("name")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--cohort", type=click.Choice(COHORTS), default="internal", show_default=True)
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

    Nothing that is there already is written over. With --clinical, a CSV or Excel sheet fills the
    scan table; --clinical-columns is a YAML file that says how, as conf/tcia_crlm/clinical.yml.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise click.ClickException(f"'{name}' must be small letters, digits and '_', such as oslo.")
    if bool(clinical) != bool(clinical_columns):
        raise click.ClickException("--clinical and --clinical-columns go together.")
    try:
        proposal = propose(
            name,
            folder.absolute(),
            cohort,
            role,
            *_sheet(clinical, clinical_columns),
            pseudonyms=pseudonyms,
        )
    except (SheetError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    except Exception as error:
        if not pseudonyms:
            raise
        raise click.ClickException(
            f"{type(error).__name__}: a file cannot be understood. Which and why may tell who "
            "somebody is; it is shown without --pseudonyms."
        ) from None
    for line in proposal.found:
        click.echo(line)
    _write(proposal)
    if proposal.untold:
        click.secho("\nWhat could not be told:", bold=True)
        for line in proposal.untold:
            click.echo(f"- {line}")
    namespace = f"kedro run --env {name} --pipelines preprocessing --namespaces {cohort}"
    click.echo(f"\nThen: {namespace}")


def _sheet(
    clinical: Path | None, columns: Path | None
) -> tuple[pd.DataFrame | None, ClinicalSheet | None]:
    if clinical is None or columns is None:
        return None, None
    read: Any = pd.read_excel if clinical.suffix.startswith(".xls") else pd.read_csv
    return read(clinical, dtype=str), ClinicalSheet(
        **yaml.safe_load(columns.read_text(encoding="utf-8"))
    )


def _write(proposal: Proposal) -> None:
    for relative, text in proposal.files.items():
        path = ROOT / relative
        if path.exists():
            click.secho(f"{relative} is there already and was left as it is.", fg="yellow")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "pseudonyms.csv":
            path.touch(mode=0o600)  # it tells whose the scans are
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {relative}")
