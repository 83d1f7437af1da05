"""A text in UTF-8."""

from __future__ import annotations

from typing import Any

from kedro_datasets.text import TextDataset as KedroTextDataset


class TextDataset(KedroTextDataset):
    """A `text.TextDataset` in UTF-8 whatever the locale.

    Examples:
        ```yaml
        report:
          type: coala_kedro.datasets.TextDataset
          filepath: data/08_reporting/report.html
        ```

        >>> TextDataset(filepath="card.md").save("± 0.1 mL")
    """

    DEFAULT_FS_ARGS: dict[str, Any] = {  # noqa: RUF012
        "open_args_load": {"mode": "r", "encoding": "utf-8"},
        "open_args_save": {"mode": "w", "encoding": "utf-8"},
    }
