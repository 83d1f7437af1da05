"""Kedro's settings."""

import os
from pathlib import Path

from coala_kedro.hooks import ResultHooks
from coala_kedro.tracking import TrackingHooks

ROOT = Path(__file__).parents[2]

HOOKS = (TrackingHooks(), ResultHooks())

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment changes the parameters it names and leaves the others as they are.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
    "custom_resolvers": {
        # Absolute, for a relative URI follows the working directory; mlflow 3 has no file store.
        "tracking_uri": lambda: os.environ.get(
            "MLFLOW_TRACKING_URI", f"sqlite:///{ROOT / 'mlflow.db'}"
        ),
    },
}
