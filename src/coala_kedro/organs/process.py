"""The process in which TotalSegmentator runs, seen from ours.

Importing TotalSegmentator replaces functions of nnU-Net, and every call of it overwrites `nnUNet_*`
in the environment: our own nnU-Net steps would not survive it in one process. It takes 9 s to
import, so the process is kept from scan to scan.

It is a plain subprocess and not one of multiprocessing: that needs a `__main__` guard in the user's
script, cannot be started by a daemonic process, as the workers of Dask are, and outlives a parent
that is killed. Here standard input ends with the parent, however it ends.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from coala_kedro.disk import DiskFullError, room_in
from coala_kedro.imaging.files import VolumeError, check_content, check_length, read_volume
from coala_kedro.organs.segmenter import OrganSegmenterError

REST_S = 60.0
"""The process ends after this time without a scan: it holds memory that a training may want."""

_WORKER = Path(__file__).with_name("worker.py")
_STOP_S = 10.0
_LOG_LINES = 15
_FILES_OF_A_SCAN = 3  # itself, resampled, and the masks


class TotalSegmentatorProcess:
    """TotalSegmentator, one scan at a time; threads that share it wait for each other."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._rest: threading.Timer | None = None
        self._folder = Path()

    def segment(self, scan_id: str, scan: sitk.Image, settings: Mapping[str, Any]) -> sitk.Image:
        """Segment a scan, starting the process if it does not run.

        Args:
            scan_id: Name of the scan, for messages.
            scan: CT in HU.
            settings: The other arguments of `worker.segment`.

        Returns:
            What TotalSegmentator made of it: class ids of the task `total`.

        Raises:
            OrganSegmenterError: TotalSegmentator fails, or its process ends.
        """
        with self._in_use() as process:
            mask_file = self._folder / "mask.nii"
            request = {"function": "segment", "mask_file": str(mask_file), **settings}
            try:
                self._ask(scan_id, scan, request, process)
                return self._read(scan_id, scan, mask_file)
            finally:
                mask_file.unlink(missing_ok=True)

    def contrast_phase(
        self, scan_id: str, scan: sitk.Image, settings: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Tell the contrast phase of a scan, starting the process if it does not run.

        Args:
            scan_id: Name of the scan, for messages.
            scan: CT in HU.
            settings: The other arguments of `worker.contrast_phase`.

        Returns:
            What `worker.contrast_phase` returns.

        Raises:
            OrganSegmenterError: TotalSegmentator fails, or its process ends.
        """
        with self._in_use() as process:
            request = {"function": "contrast_phase", **settings}
            return self._ask(scan_id, scan, request, process)

    def stop(self) -> None:
        """End the process, if it runs, and remove its folder with every image in it."""
        with self._lock:
            if self._process is None:
                return
            process, self._process = self._process, None
            try:
                process.communicate(timeout=_STOP_S)  # closes its input: the worker's sign to end
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _in_use(self) -> Iterator[subprocess.Popen[str]]:
        with self._lock:
            if self._rest:
                self._rest.cancel()
            try:
                yield self._running()
            except BaseException:
                # After an error, or Ctrl-C in a notebook, its next reply may belong to this scan.
                self.stop()
                raise
            self._rest = threading.Timer(REST_S, self.stop)
            self._rest.daemon = True
            self._rest.start()

    def _running(self) -> subprocess.Popen[str]:
        if self._process and self._process.poll() is None:
            return self._process
        self.stop()
        self._folder = Path(tempfile.mkdtemp(prefix="coala_totalsegmentator_"))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                # -P: the worker's own folder is no place to import from.
                [sys.executable, "-P", str(_WORKER), str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is for us; we end the worker
            )
        return self._process

    def _ask(
        self,
        scan_id: str,
        scan: sitk.Image,
        request: Mapping[str, Any],
        process: subprocess.Popen[str],
    ) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        scan_file = self._folder / "scan.nii"
        try:
            with self._room_for(scan_id, scan):
                sitk.WriteImage(scan, str(scan_file))
                check_length(scan_file)  # SimpleITK would not tell that it is cut
            process.stdin.write(json.dumps({"scan_file": str(scan_file), **request}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise BrokenPipeError
            reply = json.loads(line)
            if reply.get("errno"):
                with self._room_for(scan_id, scan):
                    raise OSError(reply["errno"], reply["error"])
            if reply["error"]:
                raise OrganSegmenterError(
                    f"Scan {scan_id}: TotalSegmentator failed with {reply['error']}. "
                    f"{self._log_end()}"
                )
            return reply.get("result")
        except BrokenPipeError:
            with self._room_for(scan_id, scan):
                raise OrganSegmenterError(
                    f"Scan {scan_id}: TotalSegmentator's process ended with code {process.wait()} "
                    "(-9: killed, most often for want of memory; a scan of 512 x 512 x 458 voxels "
                    f"wants 11 GB, less with `fast: true`). {self._log_end()}"
                ) from None
        finally:
            scan_file.unlink(missing_ok=True)

    def _read(self, scan_id: str, scan: sitk.Image, mask_file: Path) -> sitk.Image:
        with self._room_for(scan_id, scan):
            check_content(mask_file, scan.GetNumberOfPixels())
            return read_volume(mask_file)

    @contextmanager
    def _room_for(self, scan_id: str, scan: sitk.Image) -> Iterator[None]:
        """Say it of a disk that is full that it is: a scan, resampled, takes about its own size."""
        needed = _FILES_OF_A_SCAN * scan.GetNumberOfPixels() * scan.GetSizeOfPixelComponent()
        try:
            with room_in(self._folder, "TotalSegmentator", lambda: needed):
                yield
        except (DiskFullError, VolumeError) as error:
            raise OrganSegmenterError(
                f"Scan {scan_id}: {error} (The folder for temporary files is that of TMPDIR.)"
            ) from error

    @property
    def _log(self) -> Path:
        return self._folder / "log.txt"

    def _log_end(self) -> str:
        lines = (
            self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            if self._log.exists()
            else []
        )
        return "\n".join(["Its log ends:", *lines[-_LOG_LINES:]])


_processes: dict[str, TotalSegmentatorProcess] = {}


def process_for(device: str) -> TotalSegmentatorProcess:
    """The process of a device, shared by every segmenter that names this device."""
    return _processes.setdefault(device, TotalSegmentatorProcess())


def stop_processes() -> None:
    """End every process of TotalSegmentator that this process has started."""
    for process in _processes.values():
        process.stop()


atexit.register(stop_processes)
# A forked child must neither talk to its parent's worker nor keep its standard input open.
os.register_at_fork(after_in_child=_processes.clear)
