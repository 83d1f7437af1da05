"""Single lesions: the connected parts of a mask."""

from __future__ import annotations

import cc3d
import numpy as np


def label_lesions(mask_zyx: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the lesions of a mask.

    Args:
        mask_zyx: Array (z, y, x); nonzero is lesion. Voxels that share a face, an edge or a corner
            belong to one lesion (26-connectivity).

    Returns:
        An unsigned integer array (z, y, x), 0 outside lesions and 1 … n within, and n.
    """
    labels, n_lesions = cc3d.connected_components(mask_zyx != 0, connectivity=26, return_N=True)
    return labels, n_lesions


def lesion_volumes_ml(labels: np.ndarray, n_lesions: int, ml_per_voxel: float) -> np.ndarray:
    """Measure each lesion.

    Args:
        labels: Array (z, y, x) from `label_lesions`.
        n_lesions: Number of lesions.
        ml_per_voxel: Volume of a voxel in mL.

    Returns:
        Volumes in mL, shape (n_lesions,): lesion i + 1 at index i.
    """
    return np.bincount(labels[labels > 0], minlength=n_lesions + 1)[1:] * ml_per_voxel
