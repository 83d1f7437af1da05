"""A text, there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from kedro.io.core import get_filepath_str
from kedro_datasets.text import TextDataset as KedroTextDataset

from coala_kedro.disk import written_whole


class TextDataset(KedroTextDataset):
    """A `text.TextDataset` in UTF-8 whatever the locale, which replaces its file only when whole.

    Examples:
        ```yaml
        report:
          type: coala_kedro.datasets.TextDataset
          filepath: data/08_reporting/report.html
        ```

        >>> TextDataset(filepath="card.md").save("± 0.1 mL")
    """

    DEFAULT_FS_ARGS: dict[str, Any] = {  # noqa: RUF012
        "open_args_load": {"mode": "r", "encoding": "utf-8"}
    }

    def save(self, data: str) -> None:
        """Write the text."""
        replace_text(self._fs, get_filepath_str(self._get_save_path(), self._protocol), data)
        self._invalidate_cache()


def replace_text(fs: AbstractFileSystem, path: str, text: str) -> None:
    """Write a text in UTF-8; a local file is there whole or as it was before.

    Raises:
        DiskFullError: The disk is full.
    """
    content = text.encode()
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, content)  # an object in a bucket is there whole or not at all
        return
    with written_whole(Path(path), "a text", len(content)) as partial:
        partial.write_bytes(content)
