"""A hospital's volumes, in any format and place: finding and reading them.

Nothing outside this room needs to know whether a scan is a NIfTI file, a folder of DICOM files or
an object in a bucket.
"""

from coala_kedro.imaging.dicom_stacks import SeriesChoice
from coala_kedro.sources.anonymous import read_pseudonyms
from coala_kedro.sources.choice import SEGMENT_FORMATS, SourceError, Values, several
from coala_kedro.sources.search import check_layout, find_volumes
from coala_kedro.sources.source_volume import Format, SourceVolume
from coala_kedro.sources.storage import DownloadError

__all__ = [
    "SEGMENT_FORMATS",
    "DownloadError",
    "Format",
    "SeriesChoice",
    "SourceError",
    "SourceVolume",
    "Values",
    "check_layout",
    "find_volumes",
    "read_pseudonyms",
    "several",
]
