"""Facts about a scan, a mask and their anatomy, measured once for screening.

Facts are plain values by name; which of them keep a scan from being used is not decided here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import scipy
import SimpleITK as sitk

from coala_kedro.imaging.arrangement import Xyz, turned
from coala_kedro.imaging.geometry import (
    grid_differences,
    oriented,
    spacing_zyx_mm,
    volume_ml_per_voxel,
)
from coala_kedro.imaging.lesions import label_lesions, longest_axial_diameter_mm, union_box

Facts = dict[str, bool | int | float | str]

SOFT_TISSUE_HU = (-200, 300)
_LARGE_SECTION = 0.1
"""Share of the largest section from which a slice's median tells of the organ, not of its edge."""
_FEW_VOXELS = 20
"""Fewer voxels may have one value by chance."""
_BODY_HU, _BIN_HU, _WATER_HU = (-500, 600), 10, -20
_MIN_FAT_SHARE, _PEAK = 0.01, 1.5
"""Least share of voxels in the peak of fat, and how many times it is higher than beside it."""

Box = tuple[slice, ...]


def inspect_scan(scan: sitk.Image) -> Facts:
    """Measure a CT.

    Args:
        scan: CT in HU.

    Returns:
        `n_dimensions`, `n_components`; and for a single 3D volume `n_slices`, `spacing_mm` (the
        larger in-plane one), `slice_spacing_mm`, `field_of_view_mm` (the smaller in-plane one),
        `height_mm`, `nonfinite_voxels`; and where all are finite `lowest_hu`, `highest_hu`,
        `soft_tissue_share` (of voxels in `SOFT_TISSUE_HU`) and `voxels_sha256`, the same for
        equal HU whatever their type; and where it is so `is_default_grid` (voxels of 1 mm from 0
        along the axes, which is what programs write that know no grid).
    """
    facts: Facts = {
        "n_dimensions": scan.GetDimension(),
        "n_components": scan.GetNumberOfComponentsPerPixel(),
    }
    if facts != {"n_dimensions": 3, "n_components": 1}:
        return facts
    if {*scan.GetSpacing()} == {1.0} and not any(scan.GetOrigin()):
        facts["is_default_grid"] = {*map(abs, scan.GetDirection()[::4])} == {1.0}
    scan = oriented(scan)  # slices are axial, and a copy is a copy, however it is stored
    (columns, rows, slices), (x_mm, y_mm, z_mm) = scan.GetSize(), scan.GetSpacing()
    facts |= {
        "n_slices": slices,
        "spacing_mm": max(x_mm, y_mm),
        "slice_spacing_mm": z_mm,
        "field_of_view_mm": min(columns * x_mm, rows * y_mm),
        "height_mm": slices * z_mm,
    }
    voxels = sitk.GetArrayViewFromImage(scan)
    whole_numbers = voxels.dtype.kind in "iu"
    facts["nonfinite_voxels"] = 0 if whole_numbers else int((~np.isfinite(voxels)).sum())
    if not facts["nonfinite_voxels"]:
        facts |= _intensities(voxels)
    return facts


def _intensities(voxels: np.ndarray) -> Facts:
    """Facts on finite voxels, slice by slice: copies of a whole CT would double the memory."""
    digest, soft = hashlib.sha256(), 0
    low, high = SOFT_TISSUE_HU
    for plane in voxels:
        digest.update(np.ascontiguousarray(plane, np.float32).tobytes())
        soft += int(np.count_nonzero((plane >= low) & (plane <= high)))
    return {
        "lowest_hu": float(voxels.min()),
        "highest_hu": float(voxels.max()),
        "soft_tissue_share": soft / voxels.size,
        "voxels_sha256": digest.hexdigest(),
    }


def inspect_mask(mask: sitk.Image, scan: sitk.Image) -> Facts:
    """Measure a reader's mask, as it is on the scan's grid.

    Args:
        mask: The reader's mask.
        scan: CT of the same scan.

    Returns:
        `other_grid` (in words; left out on one grid), `values` (at most five other than 0, joined
        by ", "), `n_voxels` (not 0).
    """
    facts: Facts = {}
    if differences := grid_differences(mask, scan):
        facts["other_grid"] = "; ".join(differences)
    if mask.GetNumberOfComponentsPerPixel() != 1:
        return facts | {"values": f"{mask.GetNumberOfComponentsPerPixel()} values a voxel"}
    voxels = sitk.GetArrayViewFromImage(mask)
    values = np.unique(voxels[voxels != 0])
    shown = [f"{value:g}" for value in values[:5]]
    facts["values"] = ", ".join([*shown, "…"] if len(values) > len(shown) else shown)
    facts["n_voxels"] = int(np.count_nonzero(voxels))
    return facts


def inspect_anatomy(
    scan: sitk.Image,
    organs: sitk.Image,
    crlm: sitk.Image | None,
    *,
    liver: int,
    spleen: int,
    expected_mm: Mapping[int, Xyz],
    margin_mm: float,
) -> Facts:
    """Measure where the lesions and the organs lie, and how dense the tissue is.

    Args:
        scan: CT in HU.
        organs: Organ mask on the same grid, LPS.
        crlm: Consensus mask on the same grid, nonzero is CRLM; None for a scan nobody outlined.
        liver: Value of the liver in the organ mask.
        spleen: Value of the spleen.
        expected_mm: Centres of organs in a patient (LPS) by value, see `arrangement.turned`.
        margin_mm: How far from the liver a lesion's voxel still counts as inside.

    Returns:
        `liver_ml`; where there is a liver `liver_cut_share` (of its largest section, how much lies
        in the border of the scan, the largest of the six sides), `liver_hu` (median of the liver
        without its lesions), `liver_hu_spread` (largest departure of a slice's median from it, of
        slices with a tenth of the largest area or more), `n_blank_liver_slices` (of one value in
        all the liver) and, where the body has fat, `fat_hu`; where there is a spleen `spleen_hu`;
        where there are two organs or more `turned_axes` and `misplacement_mm` (see
        `arrangement.turned`); where there is a liver and a lesion `crlm_outside_liver_share` (of
        lesion voxels further than the margin from the liver), `crlm_share_of_liver` (of the voxels
        of liver or lesion) and `crlm_cut` (whether a lesion reaches the border of the scan).
    """
    scan, organs = oriented(scan), oriented(organs)  # the liver is looked at slice by slice
    crlm = None if crlm is None else oriented(crlm)
    hu, labels = sitk.GetArrayViewFromImage(scan), sitk.GetArrayViewFromImage(organs)
    boxes = enumerate(scipy.ndimage.find_objects(labels), start=1)
    found = {organ: box for organ, box in boxes if box is not None}
    facts: Facts = {"liver_ml": 0.0}
    centres = {
        i: _centre_mm(labels[found[i]] == i, found[i], organs) for i in expected_mm if i in found
    }
    if arranged := turned(centres, expected_mm):
        facts |= {"turned_axes": arranged.axes, "misplacement_mm": arranged.misplacement_mm}
    if box := found.get(spleen):
        facts["spleen_hu"] = float(np.median(hu[box][labels[box] == spleen]))
    if box := found.get(liver):
        lesions = None if crlm is None else sitk.GetArrayViewFromImage(crlm)
        facts |= _inspect_liver(hu, labels, lesions, liver, box, organs, margin_mm)
    return facts


def inspect_lesion_sizes(crlm: sitk.Image | None) -> Facts:
    """Count and measure a consensus mask's lesions.

    Args:
        crlm: Nonzero is CRLM; None for a scan nobody outlined.

    Returns:
        `n_lesions`; where there is one `largest_lesion_mm` (see
        `lesions.longest_axial_diameter_mm`). None of a scan nobody outlined.
    """
    if crlm is None:
        return {}
    crlm = oriented(crlm)  # an axial diameter is the patient's
    labels, n_lesions = label_lesions(sitk.GetArrayViewFromImage(crlm))
    if not n_lesions:
        return {"n_lesions": 0}
    spacing_mm = spacing_zyx_mm(crlm)
    diameters_mm = [
        longest_axial_diameter_mm(labels[box] == lesion, spacing_mm)
        for lesion, box in enumerate(scipy.ndimage.find_objects(labels), start=1)
    ]
    return {"n_lesions": n_lesions, "largest_lesion_mm": round(max(diameters_mm), 1)}


def _inspect_liver(
    hu: np.ndarray,
    labels: np.ndarray,
    lesions: np.ndarray | None,
    liver: int,
    box: Box,
    grid: sitk.Image,
    margin_mm: float,
) -> Facts:
    in_liver = labels[box] == liver
    n_liver = int(np.count_nonzero(in_liver))
    facts: Facts = {
        "liver_ml": n_liver * volume_ml_per_voxel(grid),
        "liver_cut_share": _cut_share(in_liver, box, labels.shape),
    }
    facts |= _fat_hu(hu[box[0]], labels[box[0]])
    if lesions is not None and lesions.any():
        in_lesion = lesions != 0
        n_lesion = int(np.count_nonzero(in_lesion))
        n_outside = _n_outside(in_lesion, labels == liver, spacing_zyx_mm(grid), margin_mm)
        n_both = int(np.count_nonzero(in_lesion[box] & in_liver))
        facts["crlm_outside_liver_share"] = n_outside / n_lesion
        facts["crlm_share_of_liver"] = n_lesion / (n_liver + n_lesion - n_both)
        facts["crlm_cut"] = any(
            place.start == 0 or place.stop == length
            for place, length in zip(union_box(in_lesion), in_lesion.shape, strict=True)
        )
        in_liver &= ~in_lesion[box]
    return facts | _liver_hu(hu[box], in_liver)


def _cut_share(inside: np.ndarray, box: Box, shape: tuple[int, ...]) -> float:
    """Area of an organ in the border of the scan, as a share of its largest section that way."""
    shares = [0.0]
    for axis, (place, length) in enumerate(zip(box, shape, strict=True)):
        areas = _areas(inside, axis)
        if place.start == 0:
            shares.append(float(areas[0] / areas.max()))
        if place.stop == length:
            shares.append(float(areas[-1] / areas.max()))
    return max(shares)


def _n_outside(
    in_lesion: np.ndarray, in_liver: np.ndarray, spacing_mm: tuple[float, ...], margin_mm: float
) -> int:
    """Voxels of lesions further than the margin from the liver."""
    # A lesion is not outside the liver for being cut out of the organ mask: its own voxels count
    # by their distance to what is left of the liver. No further than the margin is looked.
    beyond = in_lesion & ~in_liver
    around = tuple(
        slice(max(0, place.start - reach), place.stop + reach)
        for place, reach in zip(
            union_box(beyond), [math.ceil(margin_mm / mm) for mm in spacing_mm], strict=True
        )
    )
    if beyond.any() and in_liver[around].any():
        distance_mm = scipy.ndimage.distance_transform_edt(~in_liver[around], sampling=spacing_mm)
        beyond = distance_mm[beyond[around]] > margin_mm
    return int(np.count_nonzero(beyond))


def _centre_mm(inside: np.ndarray, box: Box, image: sitk.Image) -> Xyz:
    """Centre of the voxels of a mask within a box, xyz LPS mm."""
    all_areas = [_areas(inside, axis) for axis in range(inside.ndim)]
    index = [
        place.start + float(np.average(np.arange(len(areas)), weights=areas))
        for place, areas in zip(box, all_areas, strict=True)
    ]
    return image.TransformContinuousIndexToPhysicalPoint(index[::-1])


def _areas(inside: np.ndarray, axis: int) -> np.ndarray:
    """Voxels of a mask in each of its planes across an axis."""
    return inside.sum(axis=tuple(other for other in range(inside.ndim) if other != axis))


def _liver_hu(hu: np.ndarray, in_liver: np.ndarray) -> Facts:
    """Density of the liver (z, y, x), slice by slice; nothing where the mask is empty."""
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


def _fat_hu(hu: np.ndarray, labels: np.ndarray) -> Facts:
    """Density of fat: the peak below water in the histogram of the body (z, y, x).

    It takes no mask: without the organs, muscle and fat are what remains. A peak is one that stands
    well above what lies half its HU nearer to and further from 0, so the scale does not matter.
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
