"""Facts about a scan, a mask and their anatomy: what screening judges, measured once.

Facts are plain values by name; which of them keep a scan from being used is not decided here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from coala_kedro.imaging.geometry import grid_differences, spacing_zyx_mm, volume_ml_per_voxel
from coala_kedro.imaging.lesions import label_lesions, longest_axial_diameter_mm

Facts = dict[str, bool | int | float | str]

SOFT_TISSUE_HU = (-200, 300)
_SPATIAL_DIMENSIONS = 3


def inspect_scan(scan: sitk.Image) -> Facts:
    """Measure a CT.

    Args:
        scan: CT in HU.

    Returns:
        `n_dimensions`, `n_components`; and for a single 3D volume `n_slices`, `spacing_mm` (the
        larger in-plane one), `slice_spacing_mm`, `field_of_view_mm` (the smaller in-plane one),
        `height_mm`, `nonfinite_voxels`; and where all are finite `lowest_hu`, `highest_hu`,
        `soft_tissue_share` (of voxels in `SOFT_TISSUE_HU`) and `voxels_sha256`, the same for
        equal HU whatever their type.
    """
    facts: Facts = {
        "n_dimensions": scan.GetDimension(),
        "n_components": scan.GetNumberOfComponentsPerPixel(),
    }
    if facts != {"n_dimensions": _SPATIAL_DIMENSIONS, "n_components": 1}:
        return facts
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
    organs: sitk.Image,
    crlm: sitk.Image | None,
    *,
    liver: int,
    left_organs: Collection[int],
    margin_mm: float,
) -> Facts:
    """Measure where the lesions and the liver lie.

    Args:
        organs: Organ mask, LPS.
        crlm: Consensus mask on the same grid, nonzero is CRLM; None for a scan nobody outlined.
        liver: Value of the liver in it.
        left_organs: Values of organs on the patient's left: spleen, stomach.
        margin_mm: How far from the liver a lesion's voxel still counts as inside.

    Returns:
        `liver_ml`; where there is a liver and a lesion `crlm_outside_liver_share` (of lesion
        voxels further than the margin from the liver); where there is a liver and an organ of the
        left `liver_right_of_left_organs_mm` (between the centres along the patient's right-left
        axis; negative is the wrong side).
    """
    labels = sitk.GetArrayViewFromImage(organs)
    in_liver = labels == liver
    facts: Facts = {"liver_ml": float(np.count_nonzero(in_liver)) * volume_ml_per_voxel(organs)}
    if not in_liver.any():
        return facts
    if crlm is not None and (in_lesion := sitk.GetArrayViewFromImage(crlm) != 0).any():
        facts["crlm_outside_liver_share"] = _share_outside(
            in_lesion, in_liver, spacing_zyx_mm(organs), margin_mm
        )
    on_left = np.isin(labels, list(left_organs))
    if on_left.any():
        facts["liver_right_of_left_organs_mm"] = float(
            _centre_mm(on_left, organs)[0] - _centre_mm(in_liver, organs)[0]
        )
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
    labels, n_lesions = label_lesions(sitk.GetArrayViewFromImage(crlm))
    if not n_lesions:
        return {"n_lesions": 0}
    spacing_mm = spacing_zyx_mm(crlm)
    diameters_mm = [
        longest_axial_diameter_mm(labels[box] == lesion, spacing_mm)
        for lesion, box in enumerate(ndimage.find_objects(labels), start=1)
    ]
    return {"n_lesions": n_lesions, "largest_lesion_mm": round(max(diameters_mm), 1)}


def _share_outside(
    in_lesion: np.ndarray, in_liver: np.ndarray, spacing_mm: tuple[float, ...], margin_mm: float
) -> float:
    box = ndimage.find_objects((in_lesion | in_liver).view(np.uint8))[0]
    # A lesion is not outside the liver for being cut out of the organ mask: its own voxels count
    # by their distance to what is left of the liver.
    distance_mm = ndimage.distance_transform_edt(~in_liver[box], sampling=spacing_mm)
    return float(np.mean(distance_mm[in_lesion[box]] > margin_mm))


def _centre_mm(mask: np.ndarray, image: sitk.Image) -> tuple[float, float, float]:
    """Centre of a mask's voxels, xyz LPS mm."""
    zyx = [float(axis.mean()) for axis in np.nonzero(mask)]
    return image.TransformContinuousIndexToPhysicalPoint(zyx[::-1])
