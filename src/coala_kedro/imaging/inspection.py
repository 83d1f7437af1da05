"""Facts about a scan, a mask and their anatomy: what screening judges, measured once.

Facts are plain values by name; which of them keep a scan from being used is not decided here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from coala_kedro.imaging.arrangement import Xyz, turned
from coala_kedro.imaging.geometry import (
    grid_differences,
    oriented,
    spacing_zyx_mm,
    volume_ml_per_voxel,
)
from coala_kedro.imaging.lesions import label_lesions, longest_axial_diameter_mm
from coala_kedro.imaging.tissue import fat_hu, liver_hu

Facts = dict[str, bool | int | float | str]

SOFT_TISSUE_HU = (-200, 300)
_SPATIAL_DIMENSIONS = 3

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
    if facts != {"n_dimensions": _SPATIAL_DIMENSIONS, "n_components": 1}:
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

    Returns:
        `other_grid` (in words; left out on one grid), `values` (those that are not 0, at most
        five, joined by ", "), `n_voxels` (not 0).
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
        in the border of the scan, the largest of the six sides), what `tissue.liver_hu`
        tells of the liver without its lesions and, where the body has fat, `fat_hu` (see
        `tissue.fat_hu`); where there is a spleen
        `spleen_hu`; where there are two organs or more `turned_axes` and `misplacement_mm` (see
        `arrangement.turned`); where there is a liver and a lesion `crlm_outside_liver_share` (of
        lesion voxels further than the margin from the liver), `crlm_share_of_liver` (of the voxels
        of liver or lesion) and `crlm_cut` (whether a lesion reaches the border of the scan).
    """
    scan, organs = oriented(scan), oriented(organs)  # the liver is looked at slice by slice
    crlm = None if crlm is None else oriented(crlm)
    hu, labels = sitk.GetArrayViewFromImage(scan), sitk.GetArrayViewFromImage(organs)
    boxes = dict(enumerate(ndimage.find_objects(labels), start=1))
    found = {organ: box for organ, box in boxes.items() if box is not None}
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
        for lesion, box in enumerate(ndimage.find_objects(labels), start=1)
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
    n_voxels = int(np.count_nonzero(in_liver))
    facts: Facts = {
        "liver_ml": n_voxels * volume_ml_per_voxel(grid),
        "liver_cut_share": _cut_share(in_liver, box, labels.shape),
    }
    facts |= fat_hu(hu[box[0]], labels[box[0]])
    if lesions is not None and lesions.any():
        in_lesion = lesions != 0
        either = (
            n_voxels
            + int(np.count_nonzero(in_lesion))
            - int(np.count_nonzero(in_lesion[box] & in_liver))
        )
        facts["crlm_outside_liver_share"] = _share_outside(
            in_lesion, labels == liver, spacing_zyx_mm(grid), margin_mm
        )
        facts["crlm_share_of_liver"] = int(np.count_nonzero(in_lesion)) / either
        facts["crlm_cut"] = _touches_border(in_lesion)
        in_liver &= ~in_lesion[box]
    return facts | liver_hu(hu[box], in_liver)


def _cut_share(inside: np.ndarray, box: Box, shape: tuple[int, ...]) -> float:
    """Area of an organ in the border of the scan, as a share of its largest section that way."""
    shares = [0.0]
    for axis, (place, length) in enumerate(zip(box, shape, strict=True)):
        areas = inside.sum(axis=tuple(other for other in range(inside.ndim) if other != axis))
        if place.start == 0:
            shares.append(float(areas[0] / areas.max()))
        if place.stop == length:
            shares.append(float(areas[-1] / areas.max()))
    return max(shares)


def _touches_border(mask: np.ndarray) -> bool:
    return any(
        bool(mask.take(end, axis=axis).any()) for axis in range(mask.ndim) for end in (0, -1)
    )


def _share_outside(
    in_lesion: np.ndarray, in_liver: np.ndarray, spacing_mm: tuple[float, ...], margin_mm: float
) -> float:
    # A lesion is not outside the liver for being cut out of the organ mask: its own voxels count
    # by their distance to what is left of the liver. No further than the margin is looked.
    beyond = in_lesion & ~in_liver
    if not beyond.any():
        return 0.0
    (box,) = ndimage.find_objects(beyond.view(np.uint8))
    around = tuple(
        slice(max(0, place.start - reach), place.stop + reach)
        for place, reach in zip(box, [math.ceil(margin_mm / mm) for mm in spacing_mm], strict=True)
    )
    n_outside = np.count_nonzero(beyond)
    if in_liver[around].any():
        distance_mm = ndimage.distance_transform_edt(~in_liver[around], sampling=spacing_mm)
        n_outside = np.count_nonzero(distance_mm[beyond[around]] > margin_mm)
    return float(n_outside / np.count_nonzero(in_lesion))


def _centre_mm(inside: np.ndarray, box: Box, image: sitk.Image) -> Xyz:
    """Centre of the voxels of a mask within a box, xyz LPS mm."""
    index = []
    for axis, place in enumerate(box):
        areas = inside.sum(axis=tuple(other for other in range(inside.ndim) if other != axis))
        index.append(place.start + float(np.average(np.arange(len(areas)), weights=areas)))
    return image.TransformContinuousIndexToPhysicalPoint(index[::-1])
