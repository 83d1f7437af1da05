"""Storages that fail as networks do."""

from fsspec.implementations.memory import MemoryFileSystem


class FaultyStorage(MemoryFileSystem):
    """Memory, whose downloads stop half way, with or without an error."""

    protocol = "faulty"
    store, pseudo_dirs = {}, [""]
    cachable = False
    faults = []  # noqa: RUF012
    """What the next downloads do: an error, or "short"; then they work."""
    n_downloads = 0

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("faulty://", "memory://"))

    def get_file(self, rpath, lpath, **kwargs):
        FaultyStorage.n_downloads += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            super().get_file(rpath, lpath)
            return
        content = self.cat_file(rpath)
        with open(lpath, "wb") as file:
            file.write(content[: len(content) // 2])
        if fault != "short":
            raise fault
