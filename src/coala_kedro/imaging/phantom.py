"""Synthetic patients: an abdomen of twelve organs with liver metastases, and readers who disagree.

Everything is drawn from a seed in patient millimetres (LPS: x to the left, y to the back, z to the
head; the origin is the middle of the abdomen), then sampled on a scanner's grid. Shapes and
enhancement follow a portal-venous CT roughly: enough to train on, nothing to measure people with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import scipy
import SimpleITK as sitk
from pydantic import BaseModel, ConfigDict, Field

from coala_kedro.anatomy import ORGANS, STRUCTURES
from coala_kedro.imaging.geometry import image_like

AIR_HU, FAT_HU, MUSCLE_HU, BONE_HU = -1000.0, -95.0, 55.0, 260.0

# Per organ: ellipsoids as (centre, radii) in mm, and its enhancement in HU. Drawn in this order,
# so that a later organ lies over an earlier one.
_LIVER_HU = 108.0
_ORGANS: dict[str, tuple[list[tuple[tuple[float, ...], tuple[float, ...]]], float]] = {
    "liver": ([((-70, -8, 22), (78, 74, 64)), ((-5, -46, 38), (60, 36, 34))], _LIVER_HU),
    "spleen": ([((108, 38, 42), (30, 42, 42))], 122),
    "stomach": ([((62, -38, 32), (40, 42, 44))], 32),
    "pancreas": ([((22, 6, -14), (56, 15, 15))], 92),
    "small_bowel": ([((14, -28, -80), (72, 46, 28))], 58),
    "colon": ([((-112, 4, -76), (22, 26, 32)), ((116, 14, -70), (20, 24, 36))], 8),
    "duodenum": ([((-30, 6, -46), (17, 17, 30))], 66),
    "gallbladder": ([((-48, -54, -34), (16, 19, 24))], 12),
    "kidney_right": ([((-66, 60, -48), (26, 26, 46))], 172),
    "kidney_left": ([((70, 60, -32), (26, 26, 46))], 172),
    "adrenal_gland_right": ([((-36, 46, 6), (10, 10, 15))], 72),
    "adrenal_gland_left": ([((42, 42, 12), (10, 10, 15))], 72),
}
_BODY_RADII_MM = (165.0, 118.0)
_SPINE = ((0.0, 78.0), (21.0, 24.0))
_LESION_MARGIN = 0.35  # share of a metastasis' radius that must lie inside the liver

BODY = (
    *(AIR_HU, FAT_HU, MUSCLE_HU, BONE_HU),
    *(_ORGANS, _BODY_RADII_MM, _SPINE, _LESION_MARGIN),
)
"""Decides how every phantom looks."""


class Scanner(BaseModel):
    """How a hospital's scanner samples a patient (xyz order, as in image headers)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size_voxels: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    noise_hu: float = Field(ge=0)
    blur_mm: float = Field(ge=0)
    enhancement: float = Field(gt=0, description="Factor on the enhancement above muscle.")


class Metastases(BaseModel):
    """How many metastases a patient has, and what they look like before therapy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: tuple[Annotated[int, Field(ge=1)], int] = Field(description="From, up to and including.")
    radius_mm: tuple[float, float]
    contrast_hu: tuple[float, float] = Field(description="Darker than the liver by this much.")
    edge_mm: tuple[float, float] = Field(description="Width over which the contrast fades.")
    shrinkage: tuple[float, float] = Field(description="Radius after therapy, as a factor.")


class Reader(BaseModel):
    """How one radiologist outlines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bias_mm: float = Field(description="Outline moved outwards by this much.")
    wobble_mm: float = Field(ge=0, description="Standard deviation of the outline.")
    misses_below_mm: float = Field(ge=0, description="Diameter below which a lesion may be missed.")
    miss_probability: float = Field(ge=0, le=1)
    false_positive_probability: float = Field(ge=0, le=1, description="Per scan.")


@dataclass(frozen=True)
class Lesion:
    """A metastasis: centre and radii in mm, contrast to the liver in HU, edge width in mm."""

    centre_mm: np.ndarray
    radii_mm: np.ndarray
    contrast_hu: float
    edge_mm: float

    @property
    def diameter_mm(self) -> float:
        """Largest diameter."""
        return float(2 * self.radii_mm.max())


@dataclass(frozen=True)
class Patient:
    """One synthetic patient at one timepoint.

    Attributes:
        seed: Of the patient: anatomy stays the same between timepoints.
        scale: Of the whole body.
        lesions: The metastases at this timepoint, largest first.
    """

    seed: int
    scale: float
    lesions: tuple[Lesion, ...]


def draw_patient(seed: int, timepoint: str, metastases: Metastases) -> Patient:
    """Draw a synthetic patient; after therapy the same metastases are smaller and fainter.

    Args:
        seed: Of the patient; equal seeds give the same anatomy and metastases.
        timepoint: `pre` or `post` systemic therapy.
        metastases: Bounds of their number, size, contrast and shrinkage.
    """
    rng = np.random.default_rng([seed, 0])
    scale = float(rng.normal(1.0, 0.04))
    count = rng.integers(*metastases.count, endpoint=True)
    before: list[Lesion] = []
    after: list[Lesion] = []
    for radius in np.sort(rng.uniform(*metastases.radius_mm, count))[::-1]:
        spread = radius * rng.uniform(0.85, 1.15, 3)
        contrast, edge = rng.uniform(*metastases.contrast_hu), rng.uniform(*metastases.edge_mm)
        factor = rng.uniform(*metastases.shrinkage)
        lesion = Lesion(_place(rng, radius, before), spread, contrast, edge)
        faded = contrast * (0.6 + 0.4 * factor)
        before.append(lesion)
        after.append(replace(lesion, radii_mm=spread * factor, contrast_hu=faded))
    lesions = after if timepoint == "post" else before
    return Patient(seed, scale, tuple(sorted(lesions, key=lambda le: -le.diameter_mm)))


def _place(rng: np.random.Generator, radius: float, others: list[Lesion]) -> np.ndarray:
    """A centre inside the liver's right lobe or left, apart from the other metastases if it can."""
    (ellipsoids, _) = _ORGANS["liver"]
    for _ in range(200):
        centre, radii = ellipsoids[0 if rng.random() < 0.8 else 1]
        direction = rng.normal(size=3)
        direction *= rng.random() ** (1 / 3) / np.linalg.norm(direction)
        place = np.array(centre) + direction * (np.array(radii) - _LESION_MARGIN * radius - 8)
        gaps = [np.linalg.norm(place - o.centre_mm) - radius - o.radii_mm.max() for o in others]
        if all(gap > 4 for gap in gaps):
            break
    return place


@dataclass(frozen=True)
class Phantom:
    """A patient sampled on a grid; arrays are zyx.

    Attributes:
        organs: uint8, TotalSegmentator's class ids; the liver includes its metastases.
        hu: float32.
        lesion_depth_mm: float32 `(n_lesions, z, y, x)`: depth below a lesion's surface, negative
            outside.
        grid: An empty image that carries size, spacing, origin and direction.
    """

    organs: np.ndarray
    hu: np.ndarray
    lesion_depth_mm: np.ndarray
    grid: sitk.Image

    def image(self, array: np.ndarray) -> sitk.Image:
        """An array as an image on the phantom's grid.

        Args:
            array: Voxels (z, y, x) of the grid's shape.
        """
        return image_like(array, self.grid)

    @property
    def scan(self) -> sitk.Image:
        """The CT as int16 HU."""
        return self.image(np.clip(np.rint(self.hu), -1024, 3071).astype(np.int16))

    @property
    def liver(self) -> np.ndarray:
        """Boolean mask of the liver, metastases included."""
        return self.organs == next(s.totalsegmentator_id for s in STRUCTURES if s.name == "liver")


def sample(patient: Patient, scanner: Scanner, noise_seed: int) -> Phantom:
    """Scan a patient: anatomy on the scanner's grid, with enhancement, blur and noise.

    Args:
        patient: From `draw_patient`.
        scanner: Grid, noise, blur and enhancement.
        noise_seed: Of the noise.
    """
    grid = sitk.Image(list(scanner.size_voxels), sitk.sitkUInt8)
    grid.SetSpacing(scanner.spacing_mm)
    extent = (np.array(scanner.size_voxels) - 1) * scanner.spacing_mm
    grid.SetOrigin([float(v) for v in -extent / 2])
    points = _points(grid) / patient.scale
    rng = np.random.default_rng([patient.seed, 1])
    warped = points + 5.0 * _smooth_field(rng, points, wavelength_mm=110.0)

    hu, organs = _draw_body(points), np.zeros(points.shape[1:], np.uint8)
    ids = {s.name: s.totalsegmentator_id or 0 for s in ORGANS}
    for name, (ellipsoids, organ_hu) in _ORGANS.items():
        shift, stretch = rng.normal(0, 3.5, 3), rng.normal(1, 0.05, 3)
        for centre, radii in ellipsoids:
            inside = _depth_mm(warped, np.array(centre) + shift, np.array(radii) * stretch) > 0
            organs[inside] = ids[name]
            hu[inside] = MUSCLE_HU + (organ_hu - MUSCLE_HU) * scanner.enhancement
    depth = np.stack([_depth_mm(warped, le.centre_mm, le.radii_mm) for le in patient.lesions])
    liver = organs == ids["liver"]
    for lesion, below in zip(patient.lesions, depth, strict=True):
        fade = np.clip(0.5 + below / lesion.edge_mm, 0, 1)
        hu -= liver * fade * lesion.contrast_hu * scanner.enhancement
    zyx_blur = scanner.blur_mm / np.array(scanner.spacing_mm[::-1])
    hu = scipy.ndimage.gaussian_filter(hu, zyx_blur)
    hu += np.random.default_rng([noise_seed, 2]).normal(0, scanner.noise_hu, hu.shape)
    return Phantom(organs, hu.astype(np.float32), depth.astype(np.float32), grid)


def read(phantom: Phantom, reader: Reader, seed: int) -> np.ndarray:
    """Outline the metastases as a reader would.

    Args:
        phantom: A scanned patient.
        reader: Bias, wobble and errors of the reader.
        seed: Of the reader's errors.

    Returns:
        uint8 mask (z, y, x), 1 where the reader sees CRLM. The largest lesion is never missed.
    """
    rng = np.random.default_rng([seed, 3])
    points = _points(phantom.grid)
    wobble = reader.wobble_mm * _smooth_field(rng, points, wavelength_mm=28.0)[0]
    mask = np.zeros(phantom.organs.shape, bool)
    for index, depth in enumerate(phantom.lesion_depth_mm):
        small = 2 * depth.max() < reader.misses_below_mm
        if index > 0 and small and rng.random() < reader.miss_probability:
            continue
        mask |= depth + reader.bias_mm + wobble > 0
    if rng.random() < reader.false_positive_probability:
        centre = rng.permutation(np.argwhere(phantom.liver))[0]
        mask |= _depth_mm(points, points[(slice(None), *centre)], np.full(3, 7.0)) > 0
    return (mask & phantom.liver).astype(np.uint8)


def _points(grid: sitk.Image) -> np.ndarray:
    """Centres of the voxels, `(3, z, y, x)`: x, y and z in mm."""
    axes = [
        origin + spacing * np.arange(size)
        for origin, spacing, size in zip(
            grid.GetOrigin(), grid.GetSpacing(), grid.GetSize(), strict=True
        )
    ]
    z, y, x = np.meshgrid(*axes[::-1], indexing="ij")
    return np.stack([x, y, z])


def _depth_mm(points: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Depth below an ellipsoid's surface in mm, nearly; negative outside."""
    offset = (points - np.reshape(centre, (3, 1, 1, 1))) / np.reshape(radii, (3, 1, 1, 1))
    return (1 - np.sqrt((offset**2).sum(axis=0))) * np.min(radii)


def _smooth_field(rng: np.random.Generator, points: np.ndarray, wavelength_mm: float) -> np.ndarray:
    """A smooth random vector field of unit size, `(3, z, y, x)`, from a few plane waves."""
    field = np.zeros_like(points)
    for axis in range(len(field)):
        for _ in range(6):
            wave = rng.normal(size=3) * 2 * np.pi / wavelength_mm / np.sqrt(3)
            field[axis] += np.sin(np.tensordot(wave, points, 1) + rng.uniform(0, 2 * np.pi))
    return field / np.sqrt(3)


def _draw_body(points: np.ndarray) -> np.ndarray:
    """Air, a coat of fat, the muscles of the wall, abdominal fat, and the spine, in HU."""
    x, y, _ = points
    radius = np.hypot(x / _BODY_RADII_MM[0], y / _BODY_RADII_MM[1])
    hu = np.where(radius < 1, FAT_HU, AIR_HU)
    hu[radius < 0.93] = MUSCLE_HU
    hu[radius < 0.84] = FAT_HU
    (cx, cy), (rx, ry) = _SPINE
    hu[np.hypot((x - cx) / rx, (y - cy) / ry) < 1] = BONE_HU
    return hu.astype(np.float64)
