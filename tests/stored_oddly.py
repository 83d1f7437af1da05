"""Sound files as hospitals' programs store them."""

import gzip

import nibabel
import numpy as np
from broken_headers import with_header


def as_nifti_2(path):
    """What some programs write for large volumes; SimpleITK does not read it."""
    read = nibabel.load(path)
    image = nibabel.Nifti2Image(np.asanyarray(read.dataobj), read.affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def unzipped(path):
    path.write_bytes(gzip.decompress(path.read_bytes()))


def named_nii(path):
    path.rename(path.with_suffix(""))


def in_metres(path):
    read = nibabel.load(path)
    affine = np.diag([0.001] * 3 + [1]) @ read.affine
    made = nibabel.Nifti1Image(np.asanyarray(read.dataobj), affine)
    made.set_qform(affine, 1)
    made.header.set_xyzt_units("meter")
    nibabel.save(made, path)


def big_endian(path):
    read = nibabel.load(path)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(read.get_data_dtype())
    voxels = np.asanyarray(read.dataobj).astype(read.get_data_dtype().newbyteorder(">"))
    made = nibabel.Nifti1Image(voxels, read.affine, header)
    nibabel.save(made, path)


STORED = {
    "NIfTI-2": as_nifti_2,
    "not compressed, named .nii.gz": unzipped,
    "NIfTI-2, not compressed, named .nii.gz": lambda path: (as_nifti_2(path), unzipped(path)),
    "compressed, named .nii": named_nii,
    "compressed NIfTI-2, named .nii": lambda path: (as_nifti_2(path), named_nii(path)),
    "named in capitals": lambda path: path.rename(path.with_name("a_pre.NII.GZ")),
    "in metres": in_metres,
    "big-endian": big_endian,
    "an atlas's sform beside the scanner's qform": lambda path: with_header(
        path, sform_code=4, srow_x=(-2.4, 0.1, 0, 80), srow_y=(0, -2.1, 0.3, 90)
    ),
    "qform alone": lambda path: with_header(path, sform_code=0),
    "sform alone": lambda path: with_header(path, qform_code=0, sform_code=2),
    "one volume in four dimensions": lambda path: with_header(path, dim=(4, 108, 108, 13, 1)),
    "no unit": lambda path: with_header(path, xyzt_units=0),
}
"""What a hospital's programs make of a file; its voxels and its place are the same."""
