"""One scan as it may be stored: in 48 orders and senses of its axes, in several types and files."""

from itertools import permutations, product

import SimpleITK as sitk

ORDERS_AND_FLIPS = [
    (order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)
]


def stored(image, order, flips):
    """The same voxels at the same places, with axes exchanged and then flipped."""
    return sitk.Flip(sitk.PermuteAxes(image, order), flips)
