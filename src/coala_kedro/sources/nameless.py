"""Reading files whose names are nobody's business."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coala_kedro.temporary import temporary_folder

_DETACHED = (".mhd", ".nhdr", ".hdr", ".img")


@contextmanager
def under_no_name(path: Path) -> Iterator[Path]:
    """Have a file under a name that tells nothing, for a while.

    The libraries that read volumes print paths where no program can catch them (the NIfTI library
    on standard error), and files and folders are at times named after patients.

    Args:
        path: The file; one of a header and its data is left as it is, for one names the other.

    Yields:
        A link to it, with its suffix, in a temporary folder.
    """
    if path.name.lower().removesuffix(".gz").endswith(_DETACHED):
        yield path
        return
    compressed = path.suffix.lower() == ".gz"
    suffix = "".join(path.suffixes[-2:]) if compressed else path.suffix
    with temporary_folder("coala_read_") as folder:
        link = folder / f"volume{suffix}"
        link.symlink_to(path.absolute())
        yield link
