"""The study's pipelines; each has its wiring in `pipeline.py` and its steps in `nodes.py`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from kedro.pipeline import Node, Pipeline

from coala_kedro.standing import results

EVERY_RUN = "every_run"
"""Tag of nodes whose outputs tell of the run itself, such as its day."""


def fixed(function: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
    """A node's function with some of its arguments given by the pipeline.

    It stands for a `functools.partial`, of which kedro-viz could show no code.

    Args:
        function: The function.
        **arguments: What is the same in every run, such as the name of a cohort.

    Returns:
        A function of the other arguments.

    Examples:
        >>> Node(func=fixed(describe_training, name="teacher"), inputs=["model", ...], ...)
    """
    signature = inspect.signature(function)
    others = [p for name, p in signature.parameters.items() if name not in arguments]
    left = signature.replace(parameters=others)

    @wraps(function)
    def node_function(*args: Any, **kwargs: Any) -> Any:
        given = left.bind(*args, **kwargs).arguments | arguments
        in_order = {name: given[name] for name in signature.parameters if name in given}
        bound = inspect.BoundArguments(signature, in_order)
        return function(*bound.args, **bound.kwargs)

    node_function.__signature__ = left  # type: ignore[attr-defined]
    node_function.fixed = arguments  # type: ignore[attr-defined]
    return node_function


def kept(pipeline: Pipeline) -> Pipeline:
    """The pipeline, whose tables, figures and pages are made only if they do not stand.

    Args:
        pipeline: Nodes of the tag `gpu` return recipes, which their datasets know to stand, and
            those of the tag `every_run` are for the run; both stay as they are. All other outputs
            must follow from the inputs and the code alone.

    Returns:
        The same nodes, which return a `standing.Result` for each output: the catalog's
        `WholeFileCatalog` saves it.
    """
    return Pipeline(
        [
            node if node.tags & {"gpu", EVERY_RUN} else node._copy(func=_lazily(node))
            for node in pipeline.nodes
        ]
    )


def _lazily(node: Node) -> Callable[..., Any]:
    function = node.func

    @wraps(function)
    def node_function(*args: Any, **kwargs: Any) -> Any:
        inputs = {str(place): value for place, value in enumerate(args)}
        inputs |= kwargs | {"fixed": getattr(function, "fixed", {})}
        compute = partial(function, *args, **kwargs)
        return results(node.name, len(node.outputs), compute, inputs)

    return node_function
