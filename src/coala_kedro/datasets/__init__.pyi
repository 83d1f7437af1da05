from .hospital_volumes import HospitalVolumesDataset
from .made_folder import MadeFolder, MadeFolderDataset
from .picture import FigureDataset, PictureDataset
from .scan_table import ScanTableDataset
from .table import OptionalTableDataset, TableDataset
from .text import TextDataset
from .trained_model import TrainedModelDataset
from .volume import LazyVolume
from .volume_folder import RecordFolderDataset, VolumeFolderDataset

__all__ = [
    "FigureDataset",
    "HospitalVolumesDataset",
    "LazyVolume",
    "MadeFolder",
    "MadeFolderDataset",
    "OptionalTableDataset",
    "PictureDataset",
    "RecordFolderDataset",
    "ScanTableDataset",
    "TableDataset",
    "TextDataset",
    "TrainedModelDataset",
    "VolumeFolderDataset",
]
