"""A folder that a tool fills by itself, such as a training run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from coala_kedro.fingerprint import changes, describe, fingerprint
from coala_kedro.former import former_changes, is_former_description
from coala_kedro.locking import LOCK, alone_in
from coala_kedro.provenance import read_provenance, write_provenance

logger = logging.getLogger(__name__)

_SUPERSEDED = "superseded"


@dataclass(frozen=True)
class MadeFolder:
    """A complete folder and the fingerprint of what made it.

    Attributes:
        path: Absolute path of the folder.
        fingerprint: Of the recipe that filled it.
    """

    path: Path
    fingerprint: str


class MadeFolderDataset(AbstractDataset[Callable[[Path], Any], MadeFolder]):
    """Saves a recipe by letting it fill the folder; loads the folder's path and fingerprint.

    The recipe gets the folder's path as its one argument. A folder that stands with the same
    fingerprint is left alone. A folder begun with the same fingerprint is handed to the recipe as
    it is, to go on from; one begun or made otherwise, or by somebody else, is set aside under
    `superseded/` beside it, never deleted: it may have cost days.

    Examples:
        ```yaml
        "{model}.fold_{k}.lowres":
          type: coala_kedro.datasets.MadeFolderDataset
          path: data/06_models/{model}/nnUNetTrainer__nnUNetPlans__3d_lowres/fold_{k}
        ```

        >>> dataset = MadeFolderDataset(path=str(tmp_path / "run"))
        >>> dataset.save(functools.partial(train, epochs=10))  # calls train(path, epochs=10)
        >>> dataset.load().path
        PosixPath('/.../run')
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        """Create the dataset.

        Args:
            path: Local folder.
            metadata: Anything kedro-viz or another plugin reads; ignored here.
        """
        self._path = Path(path)
        self.metadata = metadata
        self._title = "/".join(self._path.parts[-3:])
        self._begun = self._path / ".begun.json"
        self._complete = self._path / ".complete.json"

    def load(self) -> MadeFolder:
        """The complete folder and its fingerprint.

        Raises:
            DatasetError: The folder is absent or incomplete.
        """
        record = read_provenance(self._complete)
        if record is None:
            raise DatasetError(
                f"The folder {self._path} is not complete: run the step that makes it again."
            )
        return MadeFolder(self._path.resolve(), record["fingerprint"])

    def save(self, data: Callable[[Path], Any]) -> None:
        """Let the recipe fill the folder, unless it is complete and up to date.

        Args:
            data: The recipe; it gets the folder's absolute path.

        Raises:
            FolderInUseError: Another run works on the folder.
            DiskFullError: The disk is full; the folder is not complete, and goes on from there.
        """
        # Beside the folder: it may be set aside, and the recipe has a lock of its own in it.
        with alone_in(self._path, lock=self._path.parent / f".{self._path.name}.lock"):
            self._fill(data)

    def _fill(self, data: Callable[[Path], Any]) -> None:
        made, why = self.foresee(data)
        if why is None:
            logger.info("%s stands.", self._title)
            return
        begun = read_provenance(self._begun) or {}
        if begun.get("fingerprint") != made.fingerprint:
            with alone_in(self._path):
                if {path.name for path in self._path.iterdir()} - {LOCK}:
                    self._set_aside(why)
            self._path.mkdir(parents=True, exist_ok=True)
            recipe = {"fingerprint": made.fingerprint, "recipe": describe(data)}
            write_provenance(self._begun, recipe)
        started = time.monotonic()
        data(self._path.resolve())
        seconds = round(time.monotonic() - started, 1)
        write_provenance(self._complete, {"fingerprint": made.fingerprint, "seconds": seconds})
        logger.info("%s made in %.0f s.", self._title, seconds)

    def foresee(self, data: Callable[[Path], Any]) -> tuple[MadeFolder, list[str] | None]:
        """The folder after `save(data)`, and why it would be made.

        Args:
            data: As of `save`.

        Returns:
            The folder, and the names of what changed: empty where it is only to be begun or
            finished, None where it stands.
        """
        asked = fingerprint(data)
        complete, begun = read_provenance(self._complete) or {}, read_provenance(self._begun) or {}
        recipe = begun.get("recipe")
        if is_former_description(recipe):
            changed = former_changes(recipe, data)
            # What version 0.1.0 has made, or begun, keeps its fingerprint.
            asked = asked if changed else begun["fingerprint"]
        else:
            changed = changes(recipe, describe(data))
        made = MadeFolder(self._path.resolve(), asked)
        if complete.get("fingerprint") == asked:
            return made, None
        if not begun or begun["fingerprint"] == asked:
            return made, []
        return made, changed

    def _set_aside(self, changed: list[str]) -> None:
        shelf = self._path.parent / _SUPERSEDED
        shelf.mkdir(exist_ok=True)
        place = shelf / f"{self._path.name}-{datetime.now():%Y%m%dT%H%M%S.%f}"
        self._path.rename(place)
        why = ", ".join(changed) or "by somebody else"
        logger.warning(
            "%s was made from other inputs (%s): set aside as %s.", self._title, why, place
        )

    def _exists(self) -> bool:
        return self._complete.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
