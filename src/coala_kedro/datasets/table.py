"""A table that may be opened in a spreadsheet."""

from __future__ import annotations

import pandas as pd
from kedro.io.core import get_filepath_str
from kedro_datasets.pandas import CSVDataset

from coala_kedro.datasets.text import replace_text
from coala_kedro.spreadsheet import as_meant, harmless


class TableDataset(CSVDataset):
    r"""A `pandas.CSVDataset` in UTF-8 whatever the locale, with no text that is a formula in Excel.

    Texts that begin with `=`, `+`, `-` or `@` get an apostrophe in the file, and lose it when they
    are loaded. The file is replaced only when the new one is whole.

    Examples:
        ```yaml
        "{cohort}.screening":
          type: coala_kedro.datasets.TableDataset
          filepath: data/08_reporting/{cohort}_screening.csv
        ```

        >>> table = TableDataset(filepath=str(tmp_path / "scanners.csv"))
        >>> table.save(pd.DataFrame({"scanner": ["=1+1"], "mm": [-5.0]}))
        >>> (tmp_path / "scanners.csv").read_text(encoding="utf-8")
        "scanner,mm\n'=1+1,-5.0\n"
        >>> table.load()["scanner"][0]
        '=1+1'
    """

    def load(self) -> pd.DataFrame:
        """Read the table."""
        return as_meant(super().load())

    def save(self, data: pd.DataFrame) -> None:
        """Write the table."""
        text = harmless(data).to_csv(None, **self._save_args)
        replace_text(self._fs, get_filepath_str(self._get_save_path(), self._protocol), text)
        self._invalidate_cache()
