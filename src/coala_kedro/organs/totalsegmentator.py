"""TotalSegmentator as an organ segmenter (Wasserthal et al. 2023, 10.1148/ryai.230024)."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import SimpleITK as sitk

from coala_kedro.anatomy import ORGANS
from coala_kedro.disk import DiskFullError
from coala_kedro.imaging.geometry import put_back, upright
from coala_kedro.organs import adapters
from coala_kedro.organs.adapters import CROP_3MM_MODEL, CROP_6MM_MODEL, MODEL_FOLDERS, ORGANS_MODEL
from coala_kedro.organs.segmenter import (
    OrganSegmenter,
    OrganSegmenterError,
    Phase,
    PhaseName,
    labels_on_grid,
    organ_mask,
)
from coala_kedro.processes import ProcessDiedError, ProcessKind, in_own_process, visible_gpus
from coala_kedro.temporary import temporary_folder
from coala_kedro.weights import (
    CheckpointFormatError,
    UnsafeCheckpointError,
    check_plans,
    check_weights,
)

logger = logging.getLogger(__name__)

_DEVICE = re.compile(r"auto|cpu|gpu(:\d+)?")
_LOG_LINES = 15


@dataclass(frozen=True)
class TotalSegmentator(OrganSegmenter):
    """Outlines the organs with TotalSegmentator's task `total`, in a process of its own.

    It is given every scan upright (`geometry.upright`), so the organs are the same however the scan
    is stored. By default a 6 mm model finds where the organs are, and the 1.5 mm model outlines
    them there. Nothing is downloaded and nothing sent: the weights must be there. The process is
    kept for the next scan, one for each GPU, since it takes 9 s to import TotalSegmentator.

    Attributes:
        device: `auto` (every GPU, a scan on each; else the CPU), `cpu`, `gpu` or `gpu:<index>`.
        weights_path: Folder that holds TotalSegmentator's `Dataset...` folders. None:
            `$TOTALSEG_WEIGHTS_PATH`, else `$TOTALSEG_HOME_DIR/nnunet/results`, else
            `~/.totalsegmentator/nnunet/results`.
        fast: Outline the organs with the 3 mm model, on the whole scan.
        robust_crop: Find the organs with the 3 mm model rather than the 6 mm one.
    """

    device: str = "auto"
    weights_path: str | None = None
    fast: bool = False
    robust_crop: bool = False

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise OrganSegmenterError(
                f"TotalSegmentator knows no device '{self.device}'. "
                "Allowed: auto, cpu, gpu, gpu:0, gpu:1, ..."
            )
        if self.fast and self.robust_crop:
            raise OrganSegmenterError(
                "`fast` outlines the whole scan, so there is nothing for `robust_crop` to crop: "
                "choose one of the two."
            )

    @property
    def fingerprint(self) -> str:
        """TotalSegmentator's version and the models that are run."""
        version = importlib.metadata.version("TotalSegmentator")
        return f"TotalSegmentator {version} models {self._models}"

    def require(self, *, phase: bool) -> None:
        """Find the weights, including those of the contrast phase's model.

        Args:
            phase: Whether the contrast phase will be checked.
        """
        self.find_weights(*self._models)
        if phase and self.tells_phase:
            self.find_weights(CROP_3MM_MODEL)

    @property
    def tells_phase(self) -> bool:
        """Whether the tool's extra is installed; if it is not, that is logged once."""
        return _has_xgboost()

    def contrast_phase(self, scan_id: str, scan: sitk.Image) -> Phase | None:
        """The scan's contrast phase, as TotalSegmentator's `get_ct_contrast_phase` computes it.

        The tool takes the median HU of twenty organs and vessels on the 3 mm segmentation; five
        gradient boosted regressions of the package turn them into seconds since the injection.

        Args:
            scan_id: The scan.
            scan: CT of the scan.

        Returns:
            The phase; None if `tells_phase` is false, or if the tool finds no liver: it would call
            a scan that shows it nothing `native`, and be sure of it.
        """
        if not self.tells_phase:
            return None
        weights = self.find_weights(CROP_3MM_MODEL)
        _check_models(weights, adapters.HEAD_MODELS.values())
        try:
            result = self._run(adapters.contrast_phase, scan_id, upright(scan), weights)
        except OrganSegmenterError as error:
            raise OrganSegmenterError(
                f"{error}\nThis was the check of the contrast phase. Is it a CT of the abdomen, in "
                "HU, and does TotalSegmentator run here otherwise? To do without the check, set "
                "screening.severity.contrast_phase to 'ignore'."
            ) from error
        if result is None:
            return None
        return Phase(cast(PhaseName, result["phase"]), float(result["probability"]))

    def segment(self, scan_id: str, scan: sitk.Image) -> sitk.Image:
        """Outline the organs; the weights must be there.

        Args:
            scan_id: The scan.
            scan: CT of the scan, three-dimensional.

        Raises:
            OrganSegmenterError: The scan is no single volume, or TotalSegmentator fails.
        """
        if scan.GetDimension() != 3 or scan.GetNumberOfComponentsPerPixel() != 1:
            raise OrganSegmenterError(
                f"Scan {scan_id} has {scan.GetDimension()} dimensions and "
                f"{scan.GetNumberOfComponentsPerPixel()} components a voxel; TotalSegmentator "
                "takes one volume of HU. Give it one phase of the series."
            )
        shown, weights = upright(scan), self.find_weights(*self._models)
        crop = "roi_subset_robust" if self.robust_crop else "roi_subset"
        options = {"fast": True} if self.fast else {crop: [s.name for s in ORGANS]}
        labels = labels_on_grid(
            self._run(adapters.segment, scan_id, shown, weights, options),
            shown,
            name=f"Scan {scan_id}: TotalSegmentator's mask",
            remedy="Is it a CT of the abdomen, in HU, with the right orientation? If it is, try "
            "`robust_crop: true`; else leave the scan out of scans.csv.",
        )
        return put_back(organ_mask(labels, shown), scan)

    def _run(
        self, work: Callable[..., Any], scan_id: str, scan: sitk.Image, weights: Path, *args: Any
    ) -> Any:
        """Run one of the adapters in a process of TotalSegmentator's, a scan at a time."""
        gpus = _gpus(self.device)
        device = "gpu" if gpus and self.device != "auto" else self.device  # it sees that GPU alone
        kind = ProcessKind("TotalSegmentator", max(1, len(gpus)), self.device, gpus=gpus)
        with temporary_folder("coala_totalsegmentator_") as folder:
            asked = (folder, scan, str(weights.absolute()), device, *args)
            try:
                return in_own_process(kind, True, work, *asked)
            except DiskFullError as error:
                hint = "(The folder for temporary files is that of TMPDIR.)"
                raise OrganSegmenterError(f"Scan {scan_id}: {error} {hint}") from error
            except ProcessDiedError as error:
                hint = "A scan of 512 x 512 x 458 voxels wants 11 GB, less with `fast: true`."
                raise OrganSegmenterError(
                    f"Scan {scan_id}: {error} {hint} {_log_end(folder)}"
                ) from None
            except OrganSegmenterError as error:
                raise OrganSegmenterError(f"Scan {scan_id}: {error} {_log_end(folder)}") from None

    def find_weights(self, *models: int) -> Path:
        """Find the folder of weights, and make sure that models are there, whole and only weights.

        Args:
            models: Numbers of TotalSegmentator's models.

        Raises:
            OrganSegmenterError: A model is absent or only half unzipped, or would run code when
                TotalSegmentator loads it.
        """
        if self.weights_path is None:
            folder, source = adapters.weights_folder()
        else:
            folder, source = Path(self.weights_path), "option weights_path"
        found = {model: _fault(folder / MODEL_FOLDERS[model]) for model in models}
        if faults := {model: fault for model, fault in found.items() if fault}:
            listed = "; ".join(f"{MODEL_FOLDERS[m]}: {fault}" for m, fault in faults.items())
            commands = adapters.download_commands(
                adapters.DOWNLOAD_TASKS[model] for model in faults
            )
            raise OrganSegmenterError(
                f"TotalSegmentator's weights are not in {folder} ({source}): {listed}. Delete what "
                f"is incomplete, run {commands} where there is internet, and set "
                "TOTALSEG_WEIGHTS_PATH (or the option `weights_path`) to the folder that holds the "
                "Dataset... folders. Nothing is downloaded from here."
            )
        _check_models(folder, (MODEL_FOLDERS[model] for model in models))
        return folder

    @property
    def _models(self) -> tuple[int, ...]:
        if self.fast:
            return (CROP_3MM_MODEL,)
        return (ORGANS_MODEL, CROP_3MM_MODEL if self.robust_crop else CROP_6MM_MODEL)


def _gpus(device: str) -> tuple[str, ...]:
    """The GPUs that a setting of `device` allows, as `visible_gpus` names them."""
    if device == "cpu":
        return ()
    gpus = visible_gpus()
    if device == "auto":
        return gpus
    index = int(device.removeprefix("gpu").removeprefix(":") or 0)
    return gpus[index : index + 1]


def _fault(model: Path) -> str:
    """What is wrong with the folder of a model; empty if nothing is."""
    if not model.is_dir():
        return "absent"
    missing = [name for name in adapters.MODEL_FILES if not (model / name).is_file()]
    return f"incomplete, without {', '.join(missing)}" if missing else ""


def _check_models(weights: Path, models: Iterable[str]) -> None:
    """Make sure that models are weights and nothing else.

    Raises:
        OrganSegmenterError: One would run code when TotalSegmentator loads it, or is damaged.
    """
    try:
        for model in models:
            for checkpoint in sorted((weights / model).rglob("fold_*/*.pth")):
                check_weights(checkpoint)
            for plans in sorted((weights / model).rglob("plans.json")):
                check_plans(plans)
    except (UnsafeCheckpointError, CheckpointFormatError) as error:
        raise OrganSegmenterError(
            f"TotalSegmentator's model cannot be used: {error} `totalseg_download_weights` does."
        ) from None


@functools.cache
def _has_xgboost() -> bool:
    available = importlib.util.find_spec("xgboost") is not None
    if not available:
        logger.warning(
            "The contrast phase of the scans is not checked, for xgboost is not installed. "
            "To have it checked: pip install '.[phase]'."
        )
    return available


def _log_end(folder: Path) -> str:
    log = folder / adapters.LOG
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "\n".join(["Its log ends:", *lines[-_LOG_LINES:]])
