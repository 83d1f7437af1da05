from .anonymous import read_pseudonyms
from .choice import SEGMENT_FORMATS, SourceError, Values, several
from .search import check_layout, find_volumes
from .source_volume import Format, SeriesChoice, SourceVolume
from .storage import DownloadError

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
