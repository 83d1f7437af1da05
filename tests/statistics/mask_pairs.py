"""Pairs of lesion masks as consensus and model might draw them, in small volumes."""

import numpy as np

SPACINGS_ZYX_MM = ((1.0, 1.0, 1.0), (5.0, 0.7, 0.8), (1.5, 0.75, 0.75), (0.6, 1.3, 2.1))


def mask_pair(seed):
    """A consensus, a prediction and their spacing.

    Up to 35 lesions of one voxel to several, at the volume's ends too, some of them touching. The
    model misses some, draws others shifted, cut in two or grown together, and invents some. In one
    pair of ten a side is empty.
    """
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(6, 40, 3))
    spacing_zyx_mm = SPACINGS_ZYX_MM[seed % len(SPACINGS_ZYX_MM)]
    reference, predicted = np.zeros((2, *shape), dtype=bool)
    for _ in range(rng.integers(0, 36)):
        centre, radius_mm = rng.integers(0, shape), rng.choice([0, 1.5, 3, 6]) * rng.uniform(0.5, 1)
        if rng.random() < 0.9:
            reference |= ball(shape, spacing_zyx_mm, centre, radius_mm)
        if rng.random() < 0.8:
            shift = rng.integers(-1, 2, 3) * (rng.random() < 0.5)
            found = ball(shape, spacing_zyx_mm, centre + shift, radius_mm * rng.uniform(0.7, 1.4))
            if rng.random() < 0.2:
                found[:, centre[1]] = False
            predicted |= found
    if seed % 10 == 9:
        (reference, predicted)[rng.integers(2)][:] = False
    return reference, predicted, spacing_zyx_mm


def ball(shape, spacing_zyx_mm, centre, radius_mm):
    """The voxels whose centres lie within a radius; at least the one in its middle."""
    offsets = [
        ((axis - at) * step) ** 2
        for axis, at, step in zip(
            np.ogrid[tuple(map(slice, shape))], centre, spacing_zyx_mm, strict=True
        )
    ]
    return sum(offsets) <= radius_mm**2
