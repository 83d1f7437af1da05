"""Runs one command again and again without importing everything again.

Every line on stdin starts `kedro` in a fork; its process id, and at the end its exit status, are
printed. A study that is killed twenty times would otherwise spend minutes on imports.

    python zygote.py <log> run --env demo ...
"""

import os
import sys


def start(log, arguments):
    child = os.fork()
    if child:
        return child
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(0)
    sys.argv = ["kedro", *arguments]
    cli.main()
    os._exit(0)


# Not at the top: the trainings' processes import this module too, and need none of it.
if __name__ == "__main__":
    from kedro.framework.cli import cli

    import coala_kedro.pipeline_registry
    import coala_kedro.settings  # noqa: F401

    for _ in sys.stdin:
        child = start(sys.argv[1], sys.argv[2:])
        print(child, flush=True)  # noqa: T201
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201
