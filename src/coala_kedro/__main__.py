"""`python -m coala_kedro`: what `kedro run` is in the project, for an installed wheel."""

from __future__ import annotations

from kedro.framework.project import configure_project

from coala_kedro.cli import run


def main() -> None:
    """Run the study with the arguments of the command line, from the working directory."""
    configure_project("coala_kedro")
    run()


if __name__ == "__main__":
    main()
