"""Results that are computed only if they do not stand: tables, figures and pages of nodes.

A volume's recipe has a version, which whoever changes its method raises. Statistics go through many
functions and take a minute, not a week: so any change of this project's code, or of a library that
it depends on, makes all of them again.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from coala_kedro.fingerprint import describe, digest, file_fingerprint
from coala_kedro.provenance import read_provenance, write_provenance

_CODE = (".py", ".csv", ".j2", ".css")


class Result:
    """One output of a node, which is computed when it is asked for.

    Attributes:
        fingerprint: Of the node, its inputs and the code; a result with the same is the same.
    """

    def __init__(self, fingerprint: str, compute: Callable[[], Any]) -> None:
        """Create the result.

        Args:
            fingerprint: As of the class.
            compute: Returns the output.
        """
        self.fingerprint = fingerprint
        self.value = compute


def results(
    name: str, n_outputs: int, compute: Callable[[], Any], inputs: Mapping[str, Any]
) -> Result | tuple[Result, ...]:
    """The outputs of a node, none of which is computed yet.

    Args:
        name: Of the node.
        n_outputs: Number of its outputs; if it is more than one, `compute` returns as many.
        compute: Calls the node's function with its inputs; is called at most once.
        inputs: All that the function gets, by name.

    Raises:
        TypeError: The content of an input cannot be told.
    """
    lock = threading.Lock()

    @functools.cache
    def once() -> Any:
        return compute()

    def output(place: int) -> Any:
        with lock:
            made = once()
        return made if n_outputs == 1 else made[place]

    told = {key: _content(value) for key, value in inputs.items()}
    made_of = digest([name, code_fingerprint(), told])
    made = tuple(Result(made_of, functools.partial(output, n)) for n in range(n_outputs))
    return made[0] if n_outputs == 1 else made


def _content(value: Any) -> Any:
    """What tells the content of an input; of frames also the types of the columns."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, pd.DataFrame):
        missing = describe(value.isna().to_numpy())  # in CSV a missing text is an empty one
        return [[str(kind) for kind in value.dtypes], missing, describe(value)]
    return describe(value)


@functools.cache
def code_fingerprint() -> str:
    """Fingerprint of this project's code, of Python and of the libraries that it depends on."""
    root = Path(__file__).parent
    files = {str(p.relative_to(root)): p for p in root.rglob("*") if p.suffix in _CODE}
    code = {name: file_fingerprint(path) for name, path in files.items()}
    return digest([code, _versions(), platform.python_version()])


def _versions() -> dict[str, str]:
    try:
        required = importlib.metadata.requires("coala_kedro") or []
    except importlib.metadata.PackageNotFoundError:  # it is run from its folder
        return {}
    versions = {}
    for name in {re.split(r"[^\w.-]", line)[0] for line in required if "extra ==" not in line}:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""  # which this machine does not need
    return versions


class Note:
    """What a dataset's files were made of, in a hidden folder beside them."""

    def __init__(self, files: list[Path], dataset: str, result: Result) -> None:
        """Create the note.

        Args:
            files: Of the dataset, the first of which names the note.
            dataset: Its entry in the catalog in words, for that decides how files are written.
            result: What is to be saved.
        """
        self._files = files
        self._path = files[0].parent / ".made" / f"{files[0].name}.json"
        self._made_of = digest([result.fingerprint, dataset])

    @property
    def is_true(self) -> bool:
        """Whether the files were made of the same, and nobody has changed them since."""
        try:
            return read_provenance(self._path) == self._content()
        except (OSError, ValueError):  # a file is not there, or the note is none
            return False

    def write(self) -> None:
        """Note it, after the files are whole.

        Raises:
            DiskFullError: The disk is full.
        """
        self._path.parent.mkdir(exist_ok=True)
        write_provenance(self._path, self._content())

    def _content(self) -> dict[str, Any]:
        files = {path.name: file_fingerprint(path) for path in self._files}
        return {"made_of": self._made_of, "files": files}
