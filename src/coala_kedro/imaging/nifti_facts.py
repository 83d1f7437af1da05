"""The space of a NIfTI file, and whether all programs read the same volume from it."""

from __future__ import annotations

from pathlib import Path

from coala_kedro.imaging.nifti import NiftiFile


def is_read_alike(path: Path) -> bool:
    """Whether every program reads a `.nii.gz` as `read_volume` does, by its header.

    Not so in units other than mm, in NIfTI-2, without gzip, and where an atlas' form stands beside
    the scanner's. True of a file that is no NIfTI.

    Args:
        path: Of a volume.
    """
    nifti = NiftiFile.at(path)
    return nifti is None or nifti.is_plain


def volume_header_facts(path: Path) -> dict[str, bool | int | float | str]:
    """Facts of a volume's header: `template_space`, the code of the atlas it is in, if any.

    Args:
        path: Of a volume.
    """
    nifti = NiftiFile.at(path)
    return {"template_space": nifti.template_code} if nifti and nifti.template_code else {}
