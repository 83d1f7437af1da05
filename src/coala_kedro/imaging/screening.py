"""What is wrong with a scan or a mask, in words."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from coala_kedro.imaging.geometry import grid_differences, labels_zyx

_SPATIAL_DIMENSIONS = 3


def scan_faults(scan: sitk.Image) -> list[str]:
    """What keeps a CT from being used; each fault with its remedy. Empty: nothing."""
    if scan.GetDimension() != _SPATIAL_DIMENSIONS or scan.GetNumberOfComponentsPerPixel() != 1:
        return [
            f"it has {scan.GetDimension()} dimensions and {scan.GetNumberOfComponentsPerPixel()} "
            "values a voxel, not 3 and 1: export a single CT volume"
        ]
    voxels = sitk.GetArrayViewFromImage(scan)
    if voxels.dtype.kind == "f" and (wrong := int((~np.isfinite(voxels)).sum())):
        return [f"{wrong} voxels are NaN or infinite: export the scan again from the PACS"]
    return []


def mask_faults(mask: sitk.Image, scan: sitk.Image, *, may_be_empty: bool) -> list[str]:
    """What keeps a reader's mask from being used with its scan. Empty: nothing."""
    if differences := grid_differences(mask, scan):
        return [f"it is not on the scan's grid ({'; '.join(differences)}): export it on that grid"]
    try:
        labels = labels_zyx(mask, "it")
    except ValueError as error:
        return [str(error)]
    if not may_be_empty and not labels.any():
        return [
            "it is empty: outline the scan, or set screening.empty_reader_mask to 'accept' if "
            "readers may see no lesion"
        ]
    return []
