"""Every use of TotalSegmentator: what runs in its process, and its names for models and folders.

TotalSegmentator offers no offline use and none from a process that does other work, so private
parts of it are replaced here. `tests/test_organs_contract.py` holds each of them against the
installed version.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from totalsegmentator.map_tasks_config import TASK_CONFIGS, TASK_ID_WEIGHTS_CONFIGS

from coala_kedro.child_process import gone_with_process, logged
from coala_kedro.disk import DiskFullError, room_in
from coala_kedro.imaging.files import VolumeError, check_content, check_length, read_volume
from coala_kedro.organs.segmenter import OrganSegmenterError

WRITTEN_FOR = "2.18.0"
"""Version of TotalSegmentator whose private parts are used."""

ORGANS_MODEL, CROP_3MM_MODEL, CROP_6MM_MODEL = 291, 297, 298
DOWNLOAD_TASKS = {ORGANS_MODEL: "total", CROP_3MM_MODEL: "total_fast", CROP_6MM_MODEL: "total"}
"""What `totalseg_download_weights -t` calls the set that a model comes with."""
_TRAINERS = {
    model: TASK_CONFIGS["total"]["sub_modes"][mode]["trainer"]
    for model, mode in zip(DOWNLOAD_TASKS, ("default", "fast", "fastest"), strict=True)
}
MODEL_FOLDERS = {
    model: f"{TASK_ID_WEIGHTS_CONFIGS[model]['foldername']}/{trainer}__nnUNetPlans__3d_fullres"
    for model, trainer in _TRAINERS.items()
}
"""Folders of the models that are read, below the folder of weights."""
MODEL_FILES = ("dataset.json", "plans.json", "fold_0/checkpoint_final.pth")
HEAD_MODELS = {
    "headneck_bones_vessels": TASK_ID_WEIGHTS_CONFIGS[776]["foldername"],
    "total": TASK_ID_WEIGHTS_CONFIGS[CROP_6MM_MODEL]["foldername"],
}
"""Models that the contrast phase of a scan with a brain needs, by what downloads them."""
HEAD_TRAINER = "nnUNetTrainer_DASegOrd0_NoMirroring"
LOG = "log.txt"
_FILES_OF_A_SCAN = 3  # itself, resampled, and the masks


def weights_folder() -> tuple[Path, str]:
    """The folder of weights and what names it; as totalsegmentator.config, which is slow to import.

    Returns:
        The folder, and the variable of the environment that names it or is not set.
    """
    if "TOTALSEG_WEIGHTS_PATH" in os.environ:
        return Path(os.environ["TOTALSEG_WEIGHTS_PATH"]), "TOTALSEG_WEIGHTS_PATH"
    if "TOTALSEG_HOME_DIR" in os.environ:
        return Path(os.environ["TOTALSEG_HOME_DIR"], "nnunet/results"), "TOTALSEG_HOME_DIR"
    home = Path.home() if str(Path.home()) != "/" else Path("/tmp")
    return home / ".totalsegmentator/nnunet/results", "TOTALSEG_WEIGHTS_PATH is not set"


def download_commands(tasks: Iterable[str]) -> str:
    """Commands that download the models of tasks, each once.

    Args:
        tasks: TotalSegmentator's names of tasks.
    """
    commands = (f"`totalseg_download_weights -t {task}`" for task in dict.fromkeys(tasks))
    return " and ".join(commands)


def segment(
    folder: Path, scan: sitk.Image, weights: str, device: str, options: Mapping[str, Any]
) -> sitk.Image:
    """Segment a scan; called in TotalSegmentator's process.

    Args:
        folder: Empty, for temporary files; the log stays there.
        scan: CT in HU.
        weights: Folder that holds the models, which must be complete.
        device: `auto`, `cpu`, `gpu` or `gpu:<index>`.
        options: Further arguments of TotalSegmentator's function.

    Returns:
        Class ids of the task `total`, on the scan's grid.

    Raises:
        OrganSegmenterError: TotalSegmentator fails, or its mask is not whole.
        DiskFullError: The disk is full.
    """
    mask_file = folder / "mask.nii"
    with _scan_file(folder, scan, weights) as scan_file:
        _totalsegmentator()(
            scan_file,
            mask_file,
            task="total",
            ml=True,
            device=_device(device),
            nr_thr_resamp=1,
            nr_thr_saving=1,
            quiet=True,
            **options,
        )
        check_content(mask_file, scan.GetNumberOfPixels())
        return read_volume(mask_file)


def contrast_phase(
    folder: Path, scan: sitk.Image, weights: str, device: str
) -> dict[str, Any] | None:
    """Tell the contrast phase of a scan; called in TotalSegmentator's process.

    Args:
        folder: As of `segment`, like the others.
        scan: CT in HU.
        weights: Folder that holds the 3 mm model.
        device: As of `segment`.

    Returns:
        What `get_ct_contrast_phase` tells: `phase`, `probability` and more; None without a liver.

    Raises:
        OrganSegmenterError: The tool fails, or the scan shows the brain and the models for it are
            absent.
        DiskFullError: The disk is full.
    """
    with _scan_file(folder, scan, weights) as scan_file:
        segment_scan, device = _totalsegmentator(), _device(device)
        from totalsegmentator.bin import totalseg_get_phase

        has_liver = False

        def segment_for_phase(image: Any, output: None, *, task: str = "total", **told: Any) -> Any:
            nonlocal has_liver
            if task != "total":
                _require_head_models(Path(weights))
            # For the head it forgets the device, and would take a GPU that was not asked for.
            mask, statistics = segment_scan(image, output, task=task, **({"device": device} | told))
            has_liver |= task == "total" and statistics["liver"]["volume"] > 0
            return mask, statistics

        totalseg_get_phase.totalsegmentator = segment_for_phase
        *_, last = totalseg_get_phase.get_ct_contrast_phase(scan_file, device=device, quiet=True)
        return last["result"] if has_liver else None


def _require_head_models(weights: Path) -> None:
    if absent := [task for task, model in HEAD_MODELS.items() if not (weights / model).is_dir()]:
        raise FileNotFoundError(
            "the scan shows the brain, so its phase is told from the vessels of the neck too, and "
            f"their models are not in {weights}: run {download_commands(absent)} where there is "
            "internet"
        )


@contextlib.contextmanager
def _scan_file(folder: Path, scan: sitk.Image, weights: str) -> Iterator[Path]:
    """Have a scan in a file, and TotalSegmentator's own files and output in the same folder.

    Its settings are the only switch for the statistics that it sends, and the user's own file
    breaks when several processes write to it.
    """
    tempfile.tempdir = str(folder)
    os.environ |= {
        "TOTALSEG_HOME_DIR": str(folder),
        "TOTALSEG_WEIGHTS_PATH": weights,
        "nnUNet_compile": "false",  # of a model that is read anew for each scan, it would cost time
    }
    settings = {"send_usage_stats": False, "prediction_counter": 0}
    scan_file = folder / "scan.nii"
    needed = _FILES_OF_A_SCAN * scan.GetNumberOfPixels() * scan.GetSizeOfPixelComponent()
    try:
        with (
            gone_with_process(folder),
            logged(folder / LOG),
            contextlib.redirect_stderr(sys.stdout),
            room_in(folder, "TotalSegmentator", lambda: needed),
        ):
            (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
            sitk.WriteImage(scan, str(scan_file))
            check_length(scan_file)  # SimpleITK would not tell that it is cut
            yield scan_file
    except DiskFullError:
        raise
    # TotalSegmentator leaves by SystemExit when an input or a licence is missing.
    except (Exception, SystemExit) as fault:
        raise OrganSegmenterError(
            f"TotalSegmentator failed with {type(fault).__name__}: {fault}."
        ) from None


@functools.cache
def _totalsegmentator() -> Callable[..., Any]:
    """TotalSegmentator's function, prepared to run offline and in this process alone."""
    with contextlib.suppress(ImportError):
        import xgboost  # noqa: F401  # loaded after torch, on a Mac it crashes (totalseg_get_phase)
    import torch
    from totalsegmentator import nnunet, python_api
    from totalsegmentator.custom_trainers import nnUNetTrainer

    # It would fetch the models 292 to 295 too, which have none of our organs; those that we need
    # were looked for before, so here nothing is ever fetched (or deleted, as old versions are).
    python_api.download_pretrained_weights = lambda _task: None
    # nnU-Net looks a trainer up by importing all of them, and one needs a torchvision that matches
    # torch. The trainer only builds the network, and all of these build it as the stock one does.
    nnunet.custom_trainers |= dict.fromkeys([*_TRAINERS.values(), HEAD_TRAINER], nnUNetTrainer)
    # For one scan, processes that read and write cost seconds and shared memory, and gain nothing.
    nnunet.nnUNetPredictor.predict_from_files = _predict_sequentially
    # On the CPU it takes one thread for each core of the machine; torch knows OMP_NUM_THREADS and
    # how many cores are ours.
    threads = torch.get_num_threads()
    multiprocessing.cpu_count = lambda: threads
    return python_api.totalsegmentator


def _predict_sequentially(
    predictor: Any, source: str, target: str, *, save_probabilities: bool, **_: Any
) -> Any:
    # Given a folder, nnU-Net forks twelve processes to list it.
    files = [[str(path)] for path in sorted(Path(source).glob("*_0000.nii.gz"))]
    result = predictor.predict_from_files_sequential(files, target, save_probabilities)
    for path in Path(target).glob("*.nii.gz"):
        try:
            check_content(path)
        except VolumeError:  # SimpleITK's NIfTI writer tells nobody of a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
    return result


def _device(name: str) -> str:
    """The device as TotalSegmentator names it; it would silently take the CPU for an absent GPU."""
    import torch

    gpus = torch.cuda.device_count()
    if name == "auto":
        return "gpu:0" if gpus else "cpu"
    if name != "cpu" and int(name.removeprefix("gpu").removeprefix(":") or 0) >= gpus:
        raise RuntimeError(
            f"device '{name}' is wanted and torch sees {gpus} GPUs: use `device: auto`, or ask "
            "for a GPU (CUDA_VISIBLE_DEVICES, the scheduler, the build of torch)"
        )
    return name
