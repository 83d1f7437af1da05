"""A volume in a file, written and read as the study's datasets do."""

from pathlib import Path

from kedro.io import AbstractDataset

from coala_kedro.datasets.volume import LazyVolume, write_volume


class VolumeFile(AbstractDataset):
    def __init__(self, filepath):
        self._path = Path(filepath)

    def save(self, data):
        write_volume(data, self._path)

    def load(self):
        return LazyVolume(str(self._path))()

    def _exists(self):
        return self._path.is_file()

    def _describe(self):
        return {"filepath": str(self._path)}
