"""Commands of the project beside Kedro's own."""

import click
from kedro.framework.cli.project import run
from kedro.framework.cli.utils import LazyGroup

__all__ = ["cli", "run"]  # Kedro asks for `run` where the project is a package


@click.group(
    name="coala_kedro",
    cls=LazyGroup,
    lazy_subcommands={"hospital": "coala_kedro.hospital_command.hospital"},
)
def cli() -> None:
    """Commands of coala_kedro."""
