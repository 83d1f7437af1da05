"""The study's pipelines; each has its wiring in `pipeline.py` and its steps in `nodes.py`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any


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
    return node_function
