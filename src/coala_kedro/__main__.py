"""`python -m coala_kedro`: what `kedro run` is in the project, for an installed wheel."""

from __future__ import annotations

import os

from kedro.framework.project import configure_project

from coala_kedro.cli import run


def main() -> None:
    """Run the study with the arguments of the command line, from the working directory."""
    # As `.telemetry` says in the project: Kedro reports usage unless it is told otherwise.
    os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")
    configure_project("coala_kedro")
    run()


if __name__ == "__main__":
    main()
