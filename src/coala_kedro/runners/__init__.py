"""Runs the study on a Dask cluster: the only room that knows Dask."""

from coala_kedro.runners.cluster import ClusterError
from coala_kedro.runners.dask_runner import DaskRunner

__all__ = ["ClusterError", "DaskRunner"]
