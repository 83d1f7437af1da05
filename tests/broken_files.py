"""Files as attackers have them, and as broken archives leave them."""

import gzip
import os

import nibabel
import numpy as np
from hospital import write


def instead(make, which="scan"):
    """Something else in the place of a file."""

    def spoil(hospital):
        paths = {"mask": hospital.mask("reader_2", "a_pre"), "organs": hospital.organs("a_pre")}
        path = paths.get(which, hospital.scan("a_pre"))
        path.unlink()
        make(path)

    return spoil


def to_nothing(path):
    path.symlink_to(path.parent / "annexed")


def to_itself(path):
    path.symlink_to(path)


def promise(path, shape=(30000, 30000, 30000)):
    """A header that tells of terabytes."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    path.write_bytes(gzip.compress(header.binaryblock + bytes(1 << 16)))


def detached(data_file):
    """The scan as a MetaImage whose voxels are said to lie elsewhere."""

    def spoil(hospital):
        path = hospital.scan("a_pre")
        write(hospital.read(path), path.with_name("a_pre.mhd"))
        path.unlink()
        header = path.with_name("a_pre.mhd")
        lines = header.read_text().splitlines()
        header.write_text("\n".join([*lines[:-1], f"ElementDataFile = {data_file}", ""]))
        hospital.scan_entry["pattern"] = "{scan_id}.*"
        for raw in path.parent.glob("a_pre.*raw"):
            raw.rename(hospital.root / "a_pre.zraw")

    return spoil


UNTRUSTED = {
    "a pipe": (instead(os.mkfifo), "unreadable"),
    "a link to nothing": (instead(to_nothing), "unreadable"),
    "a link to itself": (instead(to_itself), "unreadable"),
    "a device": (instead(lambda path: path.symlink_to("/dev/zero")), "unreadable"),
    "a folder": (instead(lambda path: path.mkdir()), "no_file"),
    "terabytes promised": (instead(promise), "unreadable"),
    "8 GB promised": (instead(lambda path: promise(path, (2048, 2048, 1024))), "unreadable"),
    "a mask that is a pipe": (instead(os.mkfifo, "mask"), "mask_unreadable"),
    "a mask that links to nothing": (instead(to_nothing, "mask"), "mask_unreadable"),
    "a mask of terabytes": (instead(promise, "mask"), "mask_unreadable"),
    "an organ mask that is a pipe": (instead(os.mkfifo, "organs"), "organ_mask_unreadable"),
    "an organ mask of terabytes": (instead(promise, "organs"), "organ_mask_unreadable"),
    "voxels above the folder": (detached("../a_pre.zraw"), "unreadable"),
    "voxels of the system": (detached("/etc/passwd"), "unreadable"),
    "voxels in a list above the folder": (detached("LIST\n../a_pre.zraw"), "unreadable"),
}
"""As `broken.BROKEN`."""
