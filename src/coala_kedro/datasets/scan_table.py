"""A cohort's scan table."""

from __future__ import annotations

from typing import Any

import pandas as pd
from kedro.io import DatasetError
from kedro_datasets.pandas import CSVDataset

from coala_kedro.cohort import SCAN_TABLE


class ScanTableDataset(CSVDataset):
    """Loads and saves a scan table as CSV: a `pandas.CSVDataset` that keeps identifiers as text.

    `0012` stays `0012`. What the columns are is said in `coala_kedro.cohort`.

    Examples:
        ```yaml
        internal.scan_table:
          type: coala_kedro.datasets.ScanTableDataset
          filepath: /hospital/study/internal/scans.csv
          load_args:
            sep: ";"
        ```

        >>> ScanTableDataset(filepath="data/01_raw/internal/scans.csv").load()
    """

    DEFAULT_LOAD_ARGS: dict[str, Any] = {  # noqa: RUF012
        "dtype": {
            name: str
            for name, column in SCAN_TABLE.columns.items()
            if str(column.dtype).startswith("str")
        }
    }
    DEFAULT_SAVE_ARGS: dict[str, Any] = {"index": False}  # noqa: RUF012

    def load(self) -> pd.DataFrame:
        """Read the table.

        Raises:
            DatasetError: There is no table, or it is no CSV.
        """
        if not self.exists():
            needed = [name for name, column in SCAN_TABLE.columns.items() if column.required]
            raise DatasetError(
                f"There is no scan table {self._filepath}. A hospital's is a row a scan with the "
                f"columns {', '.join(needed)}: write it, or point --params raw=<folder> or the "
                "catalog entry at the folder that has it. The study's own is made by "
                "`kedro run --pipelines preprocessing`."
            )
        return super().load()
