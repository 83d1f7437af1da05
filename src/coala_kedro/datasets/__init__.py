"""Kedro datasets of the study: volumes and folders of them, tables, figures, models."""

from coala_kedro.datasets.hospital_volumes import HospitalVolumesDataset
from coala_kedro.datasets.made_folder import MadeFolder, MadeFolderDataset
from coala_kedro.datasets.picture import FigureDataset, PictureDataset
from coala_kedro.datasets.scan_table import ScanTableDataset
from coala_kedro.datasets.table import OptionalTableDataset, TableDataset
from coala_kedro.datasets.text import TextDataset
from coala_kedro.datasets.trained_model import TrainedModelDataset
from coala_kedro.datasets.volume import LazyVolume
from coala_kedro.datasets.volume_folder import RecordFolderDataset, VolumeFolderDataset

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
