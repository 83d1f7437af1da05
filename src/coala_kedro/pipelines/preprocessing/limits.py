"""Where plausible ends: what screening holds scans, masks and anatomy against."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Limits(BaseModel):
    """Where plausible ends. Measured values on a limit pass."""

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
