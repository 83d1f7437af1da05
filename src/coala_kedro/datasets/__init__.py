"""Kedro datasets of the study: volumes and folders of them, tables, models, made folders."""

from coala_kedro.datasets.hospital_volumes import HospitalVolumesDataset
from coala_kedro.datasets.made_folder import MadeFolder, MadeFolderDataset
from coala_kedro.datasets.record_folder import RecordFolderDataset
from coala_kedro.datasets.scan_table import ScanTableDataset
from coala_kedro.datasets.trained_model import TrainedModelDataset
from coala_kedro.datasets.volume import LazyVolume, VolumeDataset
from coala_kedro.datasets.volume_folder import VolumeFolderDataset

__all__ = [
    "HospitalVolumesDataset",
    "LazyVolume",
    "MadeFolder",
    "MadeFolderDataset",
    "RecordFolderDataset",
    "ScanTableDataset",
    "TrainedModelDataset",
    "VolumeDataset",
    "VolumeFolderDataset",
]
