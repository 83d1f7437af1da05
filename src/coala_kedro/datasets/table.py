"""Tables in CSV that may be opened in a spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from kedro_datasets.pandas import CSVDataset

from coala_kedro.spreadsheet import as_meant, harmless


class TableDataset(CSVDataset):
    r"""A `pandas.CSVDataset` of the study's tables.

    Identifiers are text, and one of them may be `NA`: only an empty cell has no value. The file is
    UTF-8 whatever the locale. Texts that begin with `=`, `+`, `-` or `@`, which a spreadsheet takes
    for formulas, get an apostrophe in the file and lose it when they are loaded.

    Examples:
        ```yaml
        "{cohort}.reader_agreement":
          type: coala_kedro.datasets.TableDataset
          filepath: data/08_reporting/{cohort}_reader_agreement.csv

        "{cohort}.screening":  # every cell is text
          type: coala_kedro.datasets.TableDataset
          filepath: data/08_reporting/{cohort}_screening.csv
          load_args: {dtype: str, na_values: []}
        ```

        >>> table = TableDataset(filepath=str(tmp_path / "scanners.csv"))
        >>> table.save(pd.DataFrame({"scanner": ["=1+1"], "mm": [-5.0]}))
        >>> (tmp_path / "scanners.csv").read_text(encoding="utf-8")
        "scanner,mm\n'=1+1,-5.0\n"
        >>> table.load()["scanner"][0]
        '=1+1'
    """

    DEFAULT_LOAD_ARGS: dict[str, Any] = {  # noqa: RUF012
        "dtype": {
            "scan_id": str,
            "patient_id": str,
            "rater": str,
            "reference": str,
            "near_liver_border": "boolean",
        },
        "keep_default_na": False,
        "na_values": [""],
    }
    DEFAULT_FS_ARGS: dict[str, Any] = {  # noqa: RUF012
        "open_args_save": {"mode": "w", "encoding": "utf-8"}
    }

    def load(self) -> pd.DataFrame:
        """Read the table."""
        return as_meant(super().load())

    def save(self, data: pd.DataFrame) -> None:
        """Write the table."""
        super().save(harmless(data))


class OptionalTableDataset(TableDataset):
    """A `TableDataset` that loads as an empty table where there is no file.

    What is known of a model's training can so be looked for where the model was trained elsewhere.

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
