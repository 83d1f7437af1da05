"""How dense liver and fat are: whether a CT is in HU, and all of its slices are."""

from __future__ import annotations

import numpy as np

_LARGE_SECTION = 0.1
"""Share of the largest section from which a slice's median tells of the organ, not of its edge."""
_FEW_VOXELS = 20
"""Fewer may have one value by chance."""
_BODY_HU, _BIN_HU, _WATER_HU = (-500, 600), 10, -20
_MIN_FAT_SHARE, _PEAK = 0.01, 1.5
"""What a peak of fat must be of all voxels in a bin, and by what factor higher than beside it."""


def liver_hu(hu: np.ndarray, in_liver: np.ndarray) -> dict[str, int | float]:
    """Measure the liver's HU, slice by slice.

    Args:
        hu: CT (z, y, x), or a part of it.
        in_liver: Boolean mask of the liver, without lesions.

    Returns:
        `liver_hu` (median), `liver_hu_spread` (largest departure of a slice's median from it, of
        slices with a tenth of the largest area or more) and `n_blank_liver_slices` (of one value
        in all the liver); none where the mask is empty.
    """
    sections = [plane[inside] for plane, inside in zip(hu, in_liver, strict=True) if inside.any()]
    if not sections:
        return {}
    median = float(np.median(np.concatenate(sections)))
    large = max(map(len, sections)) * _LARGE_SECTION
    medians = np.array([np.median(section) for section in sections if len(section) >= large])
    blank = [s for s in sections if len(s) >= _FEW_VOXELS and s.min() == s.max()]
    return {
        "liver_hu": median,
        "liver_hu_spread": float(np.abs(medians - median).max()),
        "n_blank_liver_slices": len(blank),
    }


def fat_hu(hu: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Find where fat lies on the scale of HU: the peak below water in the histogram of the body.

    It takes no mask: without the organs, muscle and fat are what remains. A peak is one that stands
    well above what lies half its HU nearer to and further from 0, so the scale does not matter.

    Args:
        hu: CT (z, y, x), slices of the abdomen.
        labels: Organ mask of them, 0 outside organs.

    Returns:
        `fat_hu`; nothing where there is no such peak.
    """
    low, high = _BODY_HU
    centres = np.arange(low, high, _BIN_HU) + _BIN_HU / 2
    counts = np.zeros(len(centres), int)
    for plane, organs in zip(hu, labels, strict=True):
        counts += np.histogram(plane[organs == 0], len(centres), _BODY_HU)[0]
    peak = int(counts[centres < _WATER_HU].argmax())
    beside = np.interp(centres[peak] * np.array([0.5, 1.5]), centres, counts)
    if counts[peak] < max(_MIN_FAT_SHARE * counts.sum(), _PEAK * beside.max(), 1):
        return {}
    return {"fat_hu": float(centres[peak])}
