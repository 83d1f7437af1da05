"""Runs the study on a Dask cluster: the only room that knows Dask."""

try:
    from coala_kedro.runners.cluster import ClusterError
    from coala_kedro.runners.dask_runner import DaskRunner
except ModuleNotFoundError as error:
    absent = str(error.name).partition(".")[0]
    if absent not in ("dask", "dask_jobqueue", "distributed"):
        raise
    raise ModuleNotFoundError(
        f"DaskRunner needs {absent}: pip install 'coala_kedro[cluster]'. On one server Kedro's "
        "own ThreadRunner uses all GPUs, with compute.processes for their number.",
        name=error.name,
    ) from error

__all__ = ["ClusterError", "DaskRunner"]
