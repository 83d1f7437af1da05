"""TotalSegmentator as an organ segmenter (Wasserthal et al. 2023, 10.1148/ryai.230024)."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from coala_kedro.anatomy import ORGANS
from coala_kedro.imaging.geometry import put_back, upright
from coala_kedro.organs.process import process_for
from coala_kedro.organs.segmenter import OrganSegmenterError, Phase, labels_on_grid, organ_mask
from coala_kedro.weights import (
    CheckpointFormatError,
    UnsafeCheckpointError,
    check_plans,
    check_weights,
)

ORGANS_MODEL, CROP_3MM_MODEL, CROP_6MM_MODEL = 291, 297, 298
MODEL_FOLDERS = {
    ORGANS_MODEL: (
        "Dataset291_TotalSegmentator_part1_organs_1559subj/"
        "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
    ),
    CROP_3MM_MODEL: (
        "Dataset297_TotalSegmentator_total_3mm_1559subj/"
        "nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres"
    ),
    CROP_6MM_MODEL: (
        "Dataset298_TotalSegmentator_total_6mm_1559subj/"
        "nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres"
    ),
}
"""Folders of the models that are read, below the folder of weights."""
MODEL_FILES = ("dataset.json", "plans.json", "fold_0/checkpoint_final.pth")
DOWNLOAD_TASKS = {ORGANS_MODEL: "total", CROP_3MM_MODEL: "total_fast", CROP_6MM_MODEL: "total"}
"""What `totalseg_download_weights -t` calls the set that a model comes with."""
_DEVICE = re.compile(r"auto|cpu|gpu(:\d+)?")


@dataclass(frozen=True)
class TotalSegmentator:
    """Outlines the organs with TotalSegmentator's task `total`, in a process of its own.

    It is given every scan upright (`geometry.upright`), so the organs are the same however the scan
    is stored.

    By default a 6 mm model finds where the organs are, and the 1.5 mm model outlines them there.
    Nothing is downloaded and nothing sent: the weights must be there. The process is kept for the
    next scan, one for each device.

    Attributes:
        device: `auto` (the first GPU, else the CPU), `cpu`, `gpu` or `gpu:<index>`.
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

    def fingerprint_for(self, scan_id: str) -> str:
        """The same for every scan."""
        return self.fingerprint

    def check(self, scan_id: str, scan: sitk.Image) -> None:
        """Nothing to check: there is no mask before the scan is segmented."""

    def require(self, *, phase: bool) -> None:
        """Find the weights, those of the contrast phase's model too.

        Raises:
            OrganSegmenterError: They are not there, or hold more than weights.
        """
        asked = [self]
        if phase and self.tells_phase:
            asked.append(dataclasses.replace(self, fast=True, robust_crop=False))
        for each in asked:
            check_models(each.find_weights(), *(MODEL_FOLDERS[model] for model in each._models))

    @property
    def tells_phase(self) -> bool:
        """Whether the tool's extra is installed; if it is not, that is logged once."""
        from coala_kedro.organs.phase import phase_tool_available

        return phase_tool_available()

    def contrast_phase(self, scan_id: str, scan: sitk.Image) -> Phase | None:
        """Run the tool, see `phase.contrast_phase`."""
        from coala_kedro.organs.phase import contrast_phase

        return contrast_phase(scan, self.device, self.weights_path, scan_id)

    def segment(self, scan_id: str, scan: sitk.Image) -> sitk.Image:
        """Outline the organs, as `OrganSegmenter.segment` describes it.

        Raises:
            OrganSegmenterError: Weights are missing, the scan is not three-dimensional, or
                TotalSegmentator fails.
        """
        weights = self.find_weights()
        if scan.GetDimension() != 3 or scan.GetNumberOfComponentsPerPixel() != 1:
            raise OrganSegmenterError(
                f"Scan {scan_id} has {scan.GetDimension()} dimensions and "
                f"{scan.GetNumberOfComponentsPerPixel()} components a voxel; TotalSegmentator "
                "takes one volume of HU. Give it one phase of the series."
            )
        check_models(weights, *(MODEL_FOLDERS[model] for model in self._models))
        settings = {
            "weights": str(weights.absolute()),
            "device": self.device,
            "fast": self.fast,
            "robust_crop": self.robust_crop,
            "classes": [s.name for s in ORGANS],
        }
        shown = upright(scan)
        labels = labels_on_grid(
            process_for(self.device).segment(scan_id, shown, settings),
            shown,
            name=f"Scan {scan_id}: TotalSegmentator's mask",
            remedy="Is it a CT of the abdomen, in HU, with the right orientation? If it is, try "
            "`robust_crop: true`; else leave the scan out of scans.csv.",
        )
        return put_back(organ_mask(labels, shown), scan)

    def find_weights(self) -> Path:
        """Find the folder of weights and look whether the models are there and whole.

        Raises:
            OrganSegmenterError: A model is absent or only half unzipped.
        """
        folder, source = self._weights_folder()
        faults = {m: fault for m in self._models if (fault := _fault(folder / MODEL_FOLDERS[m]))}
        if faults:
            listed = "; ".join(f"{MODEL_FOLDERS[m]}: {fault}" for m, fault in faults.items())
            tasks = dict.fromkeys(DOWNLOAD_TASKS[m] for m in faults)
            commands = "` and `".join(f"totalseg_download_weights -t {task}" for task in tasks)
            raise OrganSegmenterError(
                f"TotalSegmentator's weights are not in {folder} ({source}): {listed}. Delete what "
                f"is incomplete, run `{commands}` where there is internet, and set "
                "TOTALSEG_WEIGHTS_PATH (or the option `weights_path`) to the folder that holds the "
                "Dataset... folders. Nothing is downloaded from here."
            )
        return folder

    @property
    def _models(self) -> Sequence[int]:
        if self.fast:
            return (CROP_3MM_MODEL,)
        return (ORGANS_MODEL, CROP_3MM_MODEL if self.robust_crop else CROP_6MM_MODEL)

    def _weights_folder(self) -> tuple[Path, str]:
        """The folder of weights and what names it; the rule is that of totalsegmentator.config."""
        if self.weights_path is not None:
            return Path(self.weights_path), "option weights_path"
        if "TOTALSEG_WEIGHTS_PATH" in os.environ:
            return Path(os.environ["TOTALSEG_WEIGHTS_PATH"]), "TOTALSEG_WEIGHTS_PATH"
        if "TOTALSEG_HOME_DIR" in os.environ:
            return Path(os.environ["TOTALSEG_HOME_DIR"], "nnunet/results"), "TOTALSEG_HOME_DIR"
        home = Path.home() if str(Path.home()) != "/" else Path("/tmp")
        return home / ".totalsegmentator/nnunet/results", "TOTALSEG_WEIGHTS_PATH is not set"


def check_models(weights: Path, *models: str) -> None:
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


def _fault(model: Path) -> str:
    """What is wrong with the folder of a model; empty if nothing is."""
    if not model.is_dir():
        return "absent"
    missing = [name for name in MODEL_FILES if not (model / name).is_file()]
    return f"incomplete, without {', '.join(missing)}" if missing else ""
