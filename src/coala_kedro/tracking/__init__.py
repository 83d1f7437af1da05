"""MLflow: the only package that imports it.

kedro-mlflow opens one run per `kedro run`. This package adds a child run per training with live
curves, which goes on when the training does, groups runs by study, registers trained models, and
logs what the catalog asks for (`metadata: {mlflow: [artifact, metrics, plans, inputs, model]}`).
"""

import os

from coala_kedro.tracking.tracking_hooks import TrackingHooks
from coala_kedro.tracking.training_runs import TrainingMonitor, monitor

# Before anything imports mlflow: it reports usage unless this is set.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that is away holds up an epoch for a minute, not for MLflow's own quarter of an hour.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

__all__ = ["TrackingHooks", "TrainingMonitor", "monitor"]
