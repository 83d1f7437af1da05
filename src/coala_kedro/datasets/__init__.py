"""Kedro datasets of the study: volumes, folders of volumes, folders that a tool fills."""

from coala_kedro.datasets.made_folder import MadeFolder, MadeFolderDataset
from coala_kedro.datasets.volume import LazyVolume, VolumeDataset
from coala_kedro.datasets.volume_folder import VolumeFolderDataset

__all__ = ["LazyVolume", "MadeFolder", "MadeFolderDataset", "VolumeDataset", "VolumeFolderDataset"]
