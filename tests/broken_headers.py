"""Headers of a hospital's files that contradict themselves."""

import gzip
import math

import nibabel
import numpy as np
import SimpleITK as sitk


def with_header(path, **fields):
    """Change raw fields of a compressed NIfTI-1, whatever they then say together."""
    content = gzip.decompress(path.read_bytes())
    header = nibabel.Nifti1Header(content[:348], check=False)
    for field, value in fields.items():
        if np.ndim(value):
            header[field][: len(value)] = value
        else:
            header[field] = value
    path.write_bytes(gzip.compress(header.binaryblock + content[348:], 1))


def headed_scan(**fields):
    return lambda hospital: with_header(hospital.scan("a_pre"), **fields)


def headed_everywhere(**fields):
    """The scan, its masks and its organs contradict themselves alike: no grid differs."""

    def spoil(hospital):
        for path in hospital.root.rglob("a_pre.nii.gz"):
            with_header(path, **fields)

    return spoil


def headed_mask(**fields):
    return lambda hospital: with_header(hospital.mask("reader_2", "a_pre"), **fields)


def headed_organs(**fields):
    return lambda hospital: with_header(hospital.organs("a_pre"), **fields)


def as_text_header(suffix, replaced, by=b""):
    """The scan as a NRRD or MetaImage whose header is changed."""

    def spoil(hospital):
        path = hospital.scan("a_pre")
        made = path.with_name(f"a_pre{suffix}")
        sitk.WriteImage(hospital.read(path), str(made))
        path.unlink()
        content = made.read_bytes()
        assert replaced in content
        made.write_bytes(content.replace(replaced, by, 1))
        hospital.scan_entry["pattern"] = "{scan_id}.*"

    return spoil


def as_nrrd(*replaced):
    return as_text_header(".nrrd", *replaced)


def as_meta(*replaced):
    return as_text_header(".mha", *replaced)


def as_analyze(hospital):
    path = hospital.scan("a_pre")
    voxels = np.asanyarray(nibabel.load(path).dataobj)
    nibabel.save(nibabel.AnalyzeImage(voxels, np.diag([2, 2, 5, 1])), path.with_name("a_pre.img"))
    path.unlink()
    hospital.scan_entry["pattern"] = "{scan_id}.*i*"


def as_complex(hospital):
    path = hospital.scan("a_pre")
    read = nibabel.load(path)
    voxels = np.asanyarray(read.dataobj).astype(np.complex64)
    nibabel.save(nibabel.Nifti1Image(voxels, read.affine), path)


def as_cut_pair(hospital):
    """SimpleITK would read the lower half as zeros."""
    path = hospital.scan("a_pre")
    nibabel.save(nibabel.Nifti1Pair.from_image(nibabel.load(path)), path.with_name("a_pre.img"))
    path.unlink()
    voxels = path.with_name("a_pre.img")
    voxels.write_bytes(voxels.read_bytes()[: voxels.stat().st_size // 2])
    hospital.scan_entry["pattern"] = "{scan_id}.*i*"


SPACING, FORMS, RESCALE = (f"{what}_contradiction" for what in ("spacing", "form", "rescale"))
NO_SIDES, SENSELESS = "no_orientation", "senseless_header"
NO_FORM = {"qform_code": 0, "sform_code": 0}
SHEAR = {"srow_y": (0, 2, 1, 0), "pixdim": (1, 2, 2, math.sqrt(26)), "qform_code": 0}
LPS, SIZE = b"space: left-posterior-superior", b"DimSize"
OFFSET = b"ElementToIntensityFunctionOffset = -1024\n"
MATRIX, DIRECTIONS = b"1 0 0 0 1 0 0 0 1", b"(2,0,0) (0,2,0) (0,0,5)"
LARGE = ("coarse_spacing", "thick_slices", "large_field_of_view")
SMALL = ("fine_spacing", "thin_slices", "small_field_of_view", "short")
RIGHT_IS_LEFT = {"srow_x": (2, 0, 0, 0)}
HEADERS = {
    "finer pixdim than forms": (headed_scan(pixdim=(1, 1, 1, 5)), SPACING),
    "finer pixdim, everywhere": (headed_everywhere(pixdim=(1, 1, 1, 5)), SPACING),
    "pixdim of the slices before": (headed_scan(pixdim=(1, 2, 2, 2.5)), SPACING),
    "finer sform than pixdim": (headed_scan(srow_z=(0, 0, 2.5, 0)), SPACING),
    "pixdim never set": (headed_scan(pixdim=(1, 1, 1, 1), qform_code=0), SPACING),
    "sform of the other side": (headed_scan(**RIGHT_IS_LEFT), FORMS),
    "sform of the other side, everywhere": (headed_everywhere(**RIGHT_IS_LEFT), FORMS),
    "aligned sform elsewhere": (headed_scan(sform_code=2, srow_z=(0, 0, 5, 55)), FORMS),
    "no form": (headed_scan(**NO_FORM), NO_SIDES),
    "no form, everywhere": (headed_everywhere(**NO_FORM), NO_SIDES),
    "complex numbers": (as_complex, "unreadable"),
    "voxels of a pair cut off": (as_cut_pair, "unreadable"),
    "Analyze": (as_analyze, NO_SIDES),
    "NRRD without space": (as_nrrd(LPS, b"space dimension: 3"), NO_SIDES),
    "NRRD of fewer slices": (as_nrrd(b"108 108 13", b"108 108 11"), "unreadable"),
    "MetaImage of fewer slices": (as_meta(b"108 108 13", b"108 108 11"), "unreadable"),
    "NRRD that tells no direction": (as_nrrd(DIRECTIONS, b"none none none"), "no_spacing"),
    "NRRD sheared": (as_nrrd(b"(0,0,5)", b"(0,1,4.9)"), "sheared"),
    "MetaImage sheared": (as_meta(MATRIX, b"1 0 0 0.1 1 0 0 0 1"), "sheared"),
    "MetaImage scaled twice": (as_meta(MATRIX, b"2 0 0 0 2 0 0 0 5"), "sheared"),
    "NRRD in cm": (as_nrrd(LPS, LPS + b'\nspace units: "cm" "cm" "cm"'), SPACING),
    "MetaImage without matrix": (as_meta(b"TransformMatrix = 1 0 0 0 1 0 0 0 1\n"), NO_SIDES),
    "MetaImage without spacing": (as_meta(b"ElementSpacing = 2 2 5\n"), "no_spacing"),
    "MetaImage of other voxels": (as_meta(SIZE, b"ElementSize = 1 1 5\n" + SIZE), SPACING),
    "MetaImage with a rescale": (as_meta(SIZE, OFFSET + SIZE), RESCALE),
    "negative pixdim": (headed_scan(pixdim=(1, -2, 2, 5)), SENSELESS),
    "NaN in a form": (headed_scan(srow_x=(math.nan, 0, 0, 0)), SENSELESS),
    "fewer slices than voxels": (headed_scan(dim=(3, 108, 108, 11)), SENSELESS),
    "intercept without slope": (headed_scan(scl_slope=0, scl_inter=-1024), RESCALE),
    "in metres": (headed_everywhere(xyzt_units=1), *LARGE),
    "in microns": (headed_everywhere(xyzt_units=3), *SMALL),
    "in an atlas": (headed_scan(sform_code=4, qform_code=0), "template_space"),
    "mask's pixdim": (headed_mask(pixdim=(1, 1, 1, 5)), "mask_header"),
    "mask without form": (headed_mask(**NO_FORM), "mask_header"),
    "mask sheared": (headed_mask(**SHEAR), "mask_unreadable"),
    "organ mask's forms": (headed_organs(**RIGHT_IS_LEFT), "organ_mask_unreadable"),
}  # fmt: skip
"""Ways to spoil the scan `a_pre`, and the codes that must be told."""
