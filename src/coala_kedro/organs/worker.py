"""Runs TotalSegmentator: `python -P worker.py FOLDER`. The only file that imports totalsegmentator.

Standard input brings one request a line, as JSON the arguments of `segment` or `contrast_phase` and
which of them is the `function`; standard output takes one reply a line, `{"result": what it
returned, "error": text or null, "errno": number or null}`, the number being the system's if the
disk was full. When standard input ends the process ends, whatever it is doing, and FOLDER, where
all its temporary files lie, is removed. It knows nothing of coala_kedro, so that it starts without
it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import gzip
import json
import multiprocessing
import os
import queue
import shutil
import sys
import tempfile
import threading
import traceback
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HEAD_MODELS = {
    "headneck_bones_vessels": "Dataset776_headneck_bones_vessels_492subj",
    "total": "Dataset298_TotalSegmentator_total_6mm_1559subj",
}
"""Models that the contrast phase of a scan with a brain needs, by what downloads them."""


def main(folder: Path) -> None:
    """Answer requests until standard input ends."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print goes to the log
    _settle(folder)
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, folder), daemon=True).start()
    functions: dict[str, Callable[..., Any]] = {f.__name__: f for f in (segment, contrast_phase)}
    while True:
        request = json.loads(requests.get())
        reply: dict[str, Any] = {"result": None, "error": None}
        try:
            reply["result"] = functions[request.pop("function")](**request)
        # TotalSegmentator leaves by SystemExit when an input or a licence is missing.
        except (Exception, SystemExit) as fault:
            with contextlib.suppress(OSError):  # the log lies on the disk that may be full
                traceback.print_exc()
            reply |= {"error": f"{type(fault).__name__}: {fault}", "errno": _full_disk(fault)}
        print(json.dumps(reply), file=replies, flush=True)


def _full_disk(fault: BaseException | None) -> int | None:
    """The system's number for what a disk refused, if that is why something failed."""
    while fault is not None:
        if getattr(fault, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return fault.errno  # type: ignore[attr-defined]
        fault = fault.__cause__ or fault.__context__
    return None


def segment(
    *,
    scan_file: str,
    mask_file: str,
    weights: str,
    device: str,
    fast: bool,
    robust_crop: bool,
    classes: Sequence[str],
) -> None:
    """Segment one scan.

    Args:
        scan_file: NIfTI file of the scan.
        mask_file: NIfTI file to write: uint8, on the scan's grid.
        weights: Folder that holds the models, which must be complete.
        device: `auto`, `cpu`, `gpu` or `gpu:<index>`.
        fast: The 3 mm model on the whole scan, all classes.
        robust_crop: Crop with the 3 mm model instead of the 6 mm one.
        classes: Names of the classes to segment, unless `fast`.
    """
    os.environ["TOTALSEG_WEIGHTS_PATH"] = weights
    crop = {} if fast else {"roi_subset_robust" if robust_crop else "roi_subset": list(classes)}
    _totalsegmentator()(
        scan_file,
        mask_file,
        task="total",
        ml=True,
        fast=fast,
        device=_device(device),
        nr_thr_resamp=1,
        nr_thr_saving=1,
        quiet=True,
        **crop,
    )


def contrast_phase(*, scan_file: str, weights: str, device: str) -> dict[str, Any] | None:
    """Tell the contrast phase of one scan.

    Args:
        scan_file: NIfTI file of the scan.
        weights: Folder that holds the 3 mm model.
        device: `auto`, `cpu`, `gpu` or `gpu:<index>`.

    Returns:
        What `get_ct_contrast_phase` tells: `phase`, `probability` and more; None without a liver.

    Raises:
        FileNotFoundError: The scan shows the brain, and the models for it are absent.
    """
    os.environ["TOTALSEG_WEIGHTS_PATH"] = weights
    segment_scan, device = _totalsegmentator(), _device(device)
    from totalsegmentator.bin import totalseg_get_phase

    has_liver = False

    def segment_for_phase(image: Any, output: None, *, task: str = "total", **options: Any) -> Any:
        nonlocal has_liver
        if task != "total":
            _require_head_models(Path(weights))
        # For the head it forgets the device, and would take a GPU that was not asked for.
        mask, statistics = segment_scan(image, output, task=task, **({"device": device} | options))
        has_liver |= task == "total" and statistics["liver"]["volume"] > 0
        return mask, statistics

    totalseg_get_phase.totalsegmentator = segment_for_phase
    steps = totalseg_get_phase.get_ct_contrast_phase(Path(scan_file), device=device, quiet=True)
    *_, last = steps
    return last["result"] if has_liver else None


def _require_head_models(weights: Path) -> None:
    if absent := [task for task, model in HEAD_MODELS.items() if not (weights / model).is_dir()]:
        commands = "` and `".join(f"totalseg_download_weights -t {task}" for task in absent)
        raise FileNotFoundError(
            "the scan shows the brain, so its phase is told from the vessels of the neck too, and "
            f"their models are not in {weights}: run `{commands}` where there is internet"
        )


def _settle(folder: Path) -> None:
    """Keep temporary files and TotalSegmentator's settings in our folder, statistics switched off.

    The settings are the only switch for the statistics, and the user's own file breaks when several
    processes write to it.
    """
    tempfile.tempdir = str(folder)
    # To compile a model that is read anew for each scan would take longer than to use it.
    os.environ |= {"TOTALSEG_HOME_DIR": str(folder), "nnUNet_compile": "false"}
    settings = {
        "totalseg_id": "",
        "send_usage_stats": False,
        "statistics_disclaimer_shown": True,
        "prediction_counter": 0,
    }
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")


def _listen(requests: queue.SimpleQueue[str], folder: Path) -> None:
    # Not sys.stdin: a child forked while it is being read would wait for its lock for ever.
    with os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8") as lines:
        for line in lines:
            requests.put(line)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


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
    for name in (
        "nnUNetTrainerNoMirroring",
        "nnUNetTrainer_4000epochs_NoMirroring",
        "nnUNetTrainer_DASegOrd0_NoMirroring",
    ):
        nnunet.custom_trainers[name] = nnUNetTrainer
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
        _check_whole(path)
    return result


def _check_whole(path: Path) -> None:
    """Read a file of SimpleITK's NIfTI writer to its checksum: it tells nobody of a full disk.

    Raises:
        OSError: It is cut.
    """
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (EOFError, zlib.error):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None


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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
