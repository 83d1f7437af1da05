"""What screening checks, and the limits of what is plausible.

The checks are the lines of `checks.csv`, in the order in which they are reported.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from coala_kedro.imaging.inspection import Facts

Severity = Literal["refuse", "warn", "ignore"]

_ALWAYS = "always refuse"
_DECIMALS = 6
"""Files hold spacings in single precision: 2 mm in metres is 2.0000001 mm."""


class Limits(BaseModel):
    """The limits of what is plausible; a value on a limit passes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_slices: int = Field(10, ge=1)
    min_spacing_mm: float = Field(0.3, gt=0, description="In the slice.")
    max_spacing_mm: float = Field(2.0, gt=0, description="In the slice.")
    min_slice_spacing_mm: float = Field(0.3, gt=0)
    max_slice_spacing_mm: float = Field(10.0, gt=0)
    min_field_of_view_mm: float = Field(200.0, gt=0)
    max_field_of_view_mm: float = Field(700.0, gt=0)
    min_height_mm: float = Field(60.0, gt=0, description="Along the patient.")
    max_irregularity_mm: float = Field(0.1, ge=0, description="Of the gaps between slices.")
    max_tilt_degrees: float = Field(0.5, ge=0, description="Of the gantry, or shear.")
    max_air_hu: float = Field(-500.0, description="Somewhere in a CT of the abdomen is air.")
    min_soft_tissue_share: float = Field(0.02, ge=0, le=1, description="-200 to 300 HU.")
    max_misplacement_mm: float = Field(60.0, ge=0, description="Beside the best way round.")
    liver_margin_mm: float = Field(10.0, ge=0)
    max_crlm_outside_liver_share: float = Field(0.5, ge=0, le=1)
    max_crlm_share_of_liver: float = Field(0.8, ge=0, le=1)
    min_liver_ml: float = Field(200.0, ge=0)
    max_liver_cut_share: float = Field(0.1, ge=0, le=1, description="Of its largest section.")
    min_liver_hu: float = Field(-20.0, description="Median.")
    max_liver_hu: float = Field(200.0, description="Median.")
    max_liver_hu_spread: float = Field(60.0, ge=0, description="Of the slices' medians.")
    min_spleen_hu: float = Field(0.0, description="Median.")
    max_spleen_hu: float = Field(250.0, description="Median.")
    min_fat_hu: float = Field(-140.0, description="Peak of the histogram.")
    max_fat_hu: float = Field(-60.0, description="Peak of the histogram.")
    min_phase_probability: float = Field(0.5, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _knows_no_mask_values(cls, limits: Any) -> Any:
        if isinstance(limits, dict) and "mask_values" in limits:
            raise ValueError(
                "mask_values is no limit any more, for it took every label for the lesion: tell "
                "the lesion's by `values` in the catalog entry of raw_reader_masks, and delete it"
            )
        return limits


@dataclass(frozen=True)
class Check:
    """One way in which a scan can be wrong: a line of `checks.csv`.

    Attributes:
        of: What is looked at: `scan`, `table` (its row in `scans.csv`), `mask`, `organs`,
            `anatomy` (organs and lesions together) or `cohort` (scans beside each other).
        code: Short name, as in reports and in `screening.severity`.
        severity: By default; `always refuse` where nothing can be computed on the scan, or nothing
            that may be believed.
        fact: Name of what is measured.
        wrong: Which values are wrong, such as `!= CT`; without it those beyond the limit, and
            without a limit whatever is not zero, false or empty.
        limit: Name of a limit: `max_...` must not be exceeded, `min_...` must be reached.
        mask_code: What a mask fails that cannot be read for the same reason.
        remedy: What to do.
    """

    of: str
    code: str
    severity: str
    fact: str
    wrong: str
    limit: str
    mask_code: str
    remedy: str

    def measured(self, facts: Facts, limits: Limits) -> Any:
        """What was measured, if it is wrong.

        Args:
            facts: What was measured, by name.
            limits: The limits.

        Returns:
            The value, or None where it is right or was not measured.
        """
        value = facts.get(self.fact)
        return None if value is None or not self._is_wrong(value, limits) else value

    def _is_wrong(self, value: bool | int | float | str, limits: Limits) -> bool:
        if self.wrong:
            sign, expected = self.wrong.split()
            if sign == "!=":
                return str(value) != expected
            return value == float(expected) if sign == "=" else float(value) > float(expected)
        if not self.limit or isinstance(value, str):
            return bool(value)
        number, limit = round(float(value), _DECIMALS), getattr(limits, self.limit)
        return bool(number < limit if self.limit.startswith("min_") else number > limit)


def _listed() -> tuple[Check, ...]:
    table = resources.files(__package__) / "checks.csv"
    lines = io.StringIO(table.read_text(encoding="utf-8"), newline="")
    return tuple(Check(**line) for line in csv.DictReader(lines))


CHECKS = _listed()
ALWAYS_REFUSED = frozenset(check.code for check in CHECKS if check.severity == _ALWAYS)
MASK_CODES = {check.code: check.mask_code for check in CHECKS if check.mask_code}
"""What a mask fails that cannot be read for a reason that scans have too."""


class Screening(BaseModel):
    """How scans are judged.

    Attributes:
        strict: Stop the study at the first refused scan instead of going on with the rest.
        severity: By a check's code, where it is not the default.
        limits: Of what is plausible.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strict: bool = False
    severity: dict[str, Severity] = {}
    limits: Limits = Limits()

    @field_validator("severity")
    @classmethod
    def _may_be_changed(cls, severity: dict[str, Severity]) -> dict[str, Severity]:
        codes = [check.code for check in CHECKS]
        if unknown := sorted(severity.keys() - set(codes)):
            raise ValueError(
                f"there is no check {', '.join(unknown)}; there are {', '.join(codes)}"
            )
        lax = sorted(
            code for code in ALWAYS_REFUSED & severity.keys() if severity[code] != "refuse"
        )
        if lax:
            raise ValueError(
                f"a scan cannot be used in spite of {', '.join(lax)}: it stays refused"
            )
        return severity

    def severity_of(self, check: Check) -> Severity:
        """What becomes of a scan that fails a check: `refuse`, `warn` or `ignore`.

        Args:
            check: The check.
        """
        default: Any = check.severity.removeprefix("always ")
        return self.severity.get(check.code, default)
