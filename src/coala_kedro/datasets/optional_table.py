"""A table that need not be there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from coala_kedro.datasets.table import TableDataset


class OptionalTableDataset(TableDataset):
    """A `TableDataset` that loads as an empty table where there is no file.

    So what is told of a model's training can be looked for, and not found where the model was
    trained elsewhere.

    Examples:
        ```yaml
        "{model}.cross_validation":
          type: coala_kedro.datasets.OptionalTableDataset
          filepath: data/08_reporting/{model}_cross_validation.csv
          columns: [stage, fold, scan_id, structure, dice]
        ```

        >>> OptionalTableDataset(filepath="absent.csv", columns=["fold"]).load().empty
        True
    """

    def __init__(self, *, columns: Sequence[str], **arguments: Any) -> None:
        """Create the dataset.

        Args:
            columns: Of the empty table.
            arguments: Of `pandas.CSVDataset`.
        """
        super().__init__(**arguments)
        self._columns = list(columns)

    def load(self) -> pd.DataFrame:
        """Read the table, or make an empty one."""
        return super().load() if self.exists() else pd.DataFrame(columns=self._columns)
