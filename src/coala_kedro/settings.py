"""Kedro's settings."""

import os
import warnings
from pathlib import Path

from coala_kedro.catalog import WholeFileCatalog
from coala_kedro.context import StudyContext
from coala_kedro.hooks import ReadyHooks, ResultHooks, StopHooks
from coala_kedro.private_tags import PrivateTagsHooks
from coala_kedro.tracking import TrackingHooks

_CHECKOUT = Path(__file__).parents[2]
ROOT = _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else Path.cwd()
"""The project's folder; that of an installed wheel is the working directory."""

# Kedro 1.7 calls OmegaConf 2.4 by an older name, once for every resolver.
warnings.filterwarnings("ignore", message="register_new_resolver")

HOOKS = (PrivateTagsHooks(), TrackingHooks(), ResultHooks(), ReadyHooks(), StopHooks())

CONTEXT_CLASS = StudyContext

DATA_CATALOG_CLASS = WholeFileCatalog

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
