"""Two sessions in one Python process, the first of which is stopped."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SETTINGS = """
import json
import signal
from pathlib import Path
from kedro.framework.hooks import hook_impl
from coala_kedro.hooks import StopHooks

class Witness:
    "Tells which handlers stand while the run ends, and refuses a run of no steps."
    @hook_impl
    def before_pipeline_run(self, run_params):
        if not run_params["runtime_params"]["steps"]:
            raise ValueError("no steps")

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self):
        told = [signal.getsignal(n) is signal.SIG_DFL for n in (signal.SIGTERM, signal.SIGINT)]
        Path("second_signal_kills.json").write_text(json.dumps(told))

HOOKS = (Witness(), StopHooks())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-viz", "kedro-telemetry")
"""

NODES = """
import os
import time
from pathlib import Path
from coala_kedro import child_process
from coala_kedro.processes import ProcessKind, RunStoppedError, in_own_process

def train(steps):
    return in_own_process(ProcessKind("nnU-Net", 1, "tiny"), True, take_steps, steps)

def take_steps(steps):
    "Goes on from the step it was stopped in."
    checkpoint = Path("checkpoint")
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    with child_process.stoppable() as asked_to_stop:
        Path("begun").touch()
        while step < steps:
            if asked_to_stop():
                checkpoint.write_text(str(step))
                raise RunStoppedError(f"stopped in step {step}")
            time.sleep(0.02)
            step += 1
    return step
"""

REGISTRY = """
from kedro.pipeline import Node, Pipeline
from tiny.nodes import train

def register_pipelines():
    return {"__default__": Pipeline([Node(train, "params:steps", "trained", name="train")])}
"""

SESSIONS = """
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

def press_ctrl_c():
    while not Path("begun").exists():
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))

def run(steps):
    with KedroSession.create(".", runtime_params={"steps": steps}) as session:
        return session.run()["trained"].load()

def handlers():
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

if __name__ == "__main__":
    if sys.argv[2] == "prompt":
        sys.ps1 = ">>> "
    bootstrap_project(Path.cwd())
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    before, told = handlers(), {}
    threading.Thread(target=press_ctrl_c, daemon=True).start()
    try:
        run(100_000)
    except Exception as error:
        told["error"] = f"{type(error).__name__}: {error}"
    told["handlers_after_stop"] = handlers() == before
    at = int(Path("checkpoint").read_text())
    told["more_steps"] = run(at + 3) - at
    told["handlers_after_run"] = handlers() == before
    try:
        run(0)
    except ValueError:
        told["handlers_after_refusal"] = handlers() == before
    Path("told.json").write_text(json.dumps(told))
"""


@pytest.fixture
def tiny_project(tmp_path):
    """A Kedro project whose one node works in a process of its own."""
    files = {
        "pyproject.toml": '[tool.kedro]\npackage_name = "tiny"\nproject_name = "tiny"\n'
        'kedro_init_version = "1.7.0"\nsource_dir = "src"\n',
        "conf/base/parameters.yml": "steps: 1\n",
        "conf/base/catalog.yml": "{}\n",
        "conf/local/parameters.yml": "{}\n",
        "src/tiny/__init__.py": "",
        "src/tiny/settings.py": SETTINGS,
        "src/tiny/nodes.py": NODES,
        "src/tiny/pipeline_registry.py": REGISTRY,
        "sessions.py": SESSIONS,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(("number", "place"), [("SIGINT", "prompt"), ("SIGTERM", "script")])
def test_a_stopped_session_leaves_the_next_one_alone(tiny_project, number, place):
    subprocess.run(
        [sys.executable, "sessions.py", number, place],
        cwd=tiny_project,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(["src", *filter(None, sys.path)])},
        timeout=120,
        check=True,
        capture_output=True,
    )
    told = json.loads((tiny_project / "told.json").read_text())
    assert told.pop("error").startswith(f"RunStoppedError: {number}: the run was asked to stop")
    assert told.pop("more_steps") == 3
    assert told == {f"handlers_after_{end}": True for end in ("stop", "run", "refusal")}
    kills = json.loads((tiny_project / "second_signal_kills.json").read_text())
    assert kills == [place == "script"] * 2, "a second Ctrl-C must not end a notebook"
