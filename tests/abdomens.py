"""Abdomens that look like one, and what a hospital may do to them."""

import functools

import numpy as np
import SimpleITK as sitk
from hospital import LIVER, READERS, SPLEEN, image, write

from coala_kedro.imaging.phantom import Metastases, Scanner, draw_patient, sample

SPACING_MM = (2.0, 2.0, 6.0)
FATTY_HU = 10


@functools.cache
def phantom():
    """CT in HU (int16), organs (class ids) and CRLM of a synthetic patient, as arrays (z, y, x)."""
    scanner = Scanner(
        size_voxels=(172, 124, 36), spacing_mm=SPACING_MM, noise_hu=12, blur_mm=1.5, enhancement=1.0
    )
    metastases = Metastases(
        count=(3, 3), radius_mm=(13, 20), contrast_hu=(50, 60), edge_mm=(2, 4), shrinkage=(1, 1)
    )
    made = sample(draw_patient(7, "pre", metastases), scanner, noise_seed=7)
    crlm = (made.lesion_depth_mm > 0).any(axis=0) & made.liver
    return np.rint(made.hu).astype(np.int16), made.organs, crlm.astype(np.uint8)


def put(hospital, hu, organs, crlm, spacing_mm=SPACING_MM):
    """Make these the scan `a_pre`, its organ mask and its readers' masks."""
    write(image(hu, spacing_mm), hospital.scan("a_pre"))
    write(image(organs, spacing_mm), hospital.organs("a_pre"))
    for reader in READERS:
        write(image(crlm, spacing_mm), hospital.mask(reader, "a_pre"))


def a_phantom(change_hu=lambda hu, organs: hu, axes=lambda voxels: voxels, only=None):
    """A phantom as `a_pre`: its HU changed, its axes, the organs that are outlined."""

    def spoil(hospital):
        hu, organs, crlm = phantom()
        hu = change_hu(hu.astype(np.int32), organs).clip(-4096, 4095).astype(np.int16)
        outlined = organs if only is None else organs * np.isin(organs, only)
        put(hospital, *(axes(voxels) for voxels in (hu, outlined, crlm)))

    return spoil


def scaled(factor):
    return lambda hu, organs: np.rint(hu * factor).astype(np.int32)


def fatty(hu, organs):
    """A liver of 10 HU, as fat makes it even in the portal-venous phase."""
    return np.where(organs == LIVER, hu - int(np.median(hu[organs == LIVER])) + FATTY_HU, hu)


def native(hu, organs):
    """Without contrast: a liver of 55 HU, a spleen of 45, kidneys of 30."""
    for organ, median in ((LIVER, 55), (SPLEEN, 45), (2, 30), (3, 30)):
        inside = organs == organ
        hu = np.where(inside, hu - int(np.median(hu[inside])) + median, hu)
    return hu


def thin(hu, organs):
    """A patient without fat."""
    return np.where((hu > -200) & (hu < -30), hu + 130, hu)


def noisy(hu, organs):
    return hu + np.random.default_rng(3).normal(0, 40, hu.shape).astype(np.int32)


def inverted(hu, organs):
    """As files are that keep black for bright; bone is as dense as a patient's."""
    return -np.where(hu > 200, 900, hu)


def of_slices(chosen, change):
    """Change some of the slices."""

    def changed(hu, organs):
        hu = hu.copy()
        hu[chosen] = change(hu[chosen])
        return hu

    return changed


def before(first, then):
    return lambda hu, organs: then(first(hu, organs), organs)


def whole_liver(margin_voxels=0):
    """What a label file of 1 = liver is, taken as a mask; as a reader outlines it, or smaller."""

    def spoil(hospital):
        hu, organs, _ = phantom()
        liver = sitk.GetImageFromArray((organs == LIVER).astype(np.uint8))
        grown = sitk.BinaryDilate if margin_voxels > 0 else sitk.BinaryErode
        radius = [abs(margin_voxels), abs(margin_voxels), 0]
        put(hospital, hu, organs, sitk.GetArrayFromImage(grown(liver, radius)))

    return spoil


def cropped(*zyx):
    """A part of the phantom, as a scan that does not cover the liver has it."""

    def spoil(hospital):
        put(hospital, *(voxels[zyx] for voxels in phantom()))

    return spoil


def after_hepatectomy(hospital):
    """What is left of a liver, 40 % of it, on the left; and no spleen."""
    hu, organs, crlm = (voxels.copy() for voxels in phantom())
    x = np.indices(organs.shape)[2]
    gone = (organs == LIVER) & (x < np.percentile(x[organs == LIVER], 60)) | (organs == SPLEEN)
    organs[gone], crlm[gone] = 0, 0
    hu[gone] = -95 + hu[gone] // 10
    crlm[tuple(np.argwhere(organs == LIVER)[1000])] = 1
    put(hospital, hu, organs, crlm)


def full_of_metastases(hospital):
    """Seven tenths of the liver."""
    hu, organs, crlm = (voxels.copy() for voxels in phantom())
    x = np.indices(organs.shape)[2]
    crlm[(organs == LIVER) & (x < np.percentile(x[organs == LIVER], 70))] = 1
    put(hospital, hu, organs, crlm)


BROKEN_ABDOMENS = {
    "HU x 3": (
        a_phantom(scaled(3)), "liver_too_bright", "spleen_too_bright", "fat_too_dark",
    ),
    "HU x 3, liver alone": (a_phantom(scaled(3), only=LIVER), "liver_too_bright", "fat_too_dark"),
    "HU x 2 of a fatty liver, liver alone": (
        a_phantom(before(fatty, scaled(2)), only=LIVER), "fat_too_dark",
    ),
    "HU x 0.5": (a_phantom(scaled(0.5)), "fat_too_bright"),
    "HU inverted": (
        a_phantom(inverted), "liver_too_dark", "spleen_too_dark", "fat_too_bright",
    ),
    "HU inverted, liver alone": (
        a_phantom(inverted, only=LIVER), "liver_too_dark", "fat_too_bright",
    ),
    "every second slice + 1024": (
        a_phantom(of_slices(slice(0, None, 2), lambda hu: hu + 1024)),
        "liver_too_bright", "uneven_slices",
    ),
    "one slice in the liver - 1024": (
        a_phantom(of_slices(20, lambda hu: hu - 1024), only=LIVER), "uneven_slices",
    ),
    "a slice of air in the liver": (
        a_phantom(of_slices(20, lambda hu: hu * 0 - 1000)), "uneven_slices", "blank_slices",
    ),
    "slices of zeros in a fatty liver": (
        a_phantom(before(fatty, of_slices([18, 22], lambda hu: hu * 0))), "blank_slices",
    ),
    "the liver for the lesion": (whole_liver(), "crlm_is_liver"),
    "the liver and some more": (whole_liver(2), "crlm_is_liver"),
    "the liver as one who stays inside": (whole_liver(-1), "crlm_is_liver"),
    "front is back": (a_phantom(axes=lambda voxels: voxels[:, ::-1]), "front_back_flip"),
    "head is feet": (a_phantom(axes=lambda voxels: voxels[::-1]), "head_feet_flip"),
    "prone for supine": (
        a_phantom(axes=lambda voxels: voxels[:, ::-1, ::-1]), "front_back_flip", "left_right_flip",
    ),
    "feet first, head first": (
        a_phantom(axes=lambda voxels: voxels[::-1, :, ::-1]), "head_feet_flip", "left_right_flip",
    ),
    "rows for columns": (
        a_phantom(axes=lambda voxels: voxels.transpose(0, 2, 1)), "axes_exchanged",
    ),
    "turned by 90 degrees": (
        a_phantom(axes=lambda voxels: np.rot90(voxels, axes=(1, 2))), "axes_exchanged",
    ),
    "half of the liver": (cropped(slice(0, 19)), "liver_cut"),
    "half of the liver, the lower": (cropped(slice(19, None)), "crlm_cut", "liver_cut"),
}  # fmt: skip
"""As `broken.BROKEN`: what only the anatomy shows."""

ODD_ABDOMENS = {
    "a phantom": a_phantom(),
    "fatty liver": a_phantom(fatty),
    "native": a_phantom(native),
    "no fat": a_phantom(thin),
    "much noise": a_phantom(noisy),
    "liver alone outlined": a_phantom(only=LIVER),
    "after hepatectomy and splenectomy": after_hepatectomy,
    "full of metastases": full_of_metastases,
}
"""Abdomens that are odd but sound: nothing may be said of them."""
