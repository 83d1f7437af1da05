"""What a hospital brings: volumes of any format, anywhere, found and read.

Nothing outside this room needs to know whether a scan is a NIfTI file, a folder of DICOM files or
an object in a bucket.
"""

from coala_kedro.imaging.dicom_stacks import SeriesChoice
from coala_kedro.sources.choice import SEGMENT_FORMATS, Values, several
from coala_kedro.sources.pseudonyms import read_pseudonyms
from coala_kedro.sources.search import SourceError, check_layout, find_volumes
from coala_kedro.sources.storage import DownloadError
from coala_kedro.sources.volume import Format, SourceVolume

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
