"""What `organs.adapters` takes for granted of TotalSegmentator, in the installed version."""

import importlib.metadata
import inspect
import os
import typing

import pytest
from totalsegmentator.map_tasks_config import TASK_CONFIGS
from totalsegmentator.map_to_binary import class_map, class_map_5_parts

from coala_kedro.anatomy import ORGANS
from coala_kedro.organs import adapters
from coala_kedro.organs.segmenter import PhaseName
from coala_kedro.processes import ProcessKind, in_own_process

VERSIONS = (
    f"adapters.py was written for TotalSegmentator {adapters.WRITTEN_FOR}, and "
    f"{importlib.metadata.version('TotalSegmentator')} is installed"
)


def test_classes_are_those_of_anatomy():
    organs = {s.totalsegmentator_id: s.name for s in ORGANS}
    assert organs.items() <= class_map["total"].items(), VERSIONS
    assert organs.items() <= class_map_5_parts["class_map_part_organs"].items(), VERSIONS


def test_models_are_those_of_the_task():
    modes = TASK_CONFIGS["total"]["sub_modes"]
    assert adapters.ORGANS_MODEL in modes["default"]["task_id"], VERSIONS
    assert modes["fast"]["task_id"] == adapters.CROP_3MM_MODEL, VERSIONS
    assert modes["fastest"]["task_id"] == adapters.CROP_6MM_MODEL, VERSIONS
    head = TASK_CONFIGS["headneck_bones_vessels"]
    assert head["trainer"] == adapters.HEAD_TRAINER, VERSIONS
    assert "crop_model" not in head, "so the 6 mm model crops"
    assert not head.get("robust_crop"), "so the 6 mm model crops"


@pytest.mark.slow
@pytest.mark.parametrize("check", ["segmenter", "phase_tool", "downloads", "folders"])
def test_private_parts(check):
    """In a process of its own: importing TotalSegmentator changes nnU-Net."""
    in_own_process(ProcessKind("TotalSegmentator", 1, "contract"), True, CHECKS[check])


def takes(function, *names):
    missing = {*names} - inspect.signature(function).parameters.keys()
    assert not missing, f"{function.__qualname__} takes no {missing}: {VERSIONS}"


def check_segmenter():
    adapters._totalsegmentator()
    from nnunetv2.inference import predict_from_raw_data
    from totalsegmentator import nnunet, python_api
    from totalsegmentator.custom_trainers import nnUNetTrainer

    options = ("task", "ml", "device", "nr_thr_resamp", "nr_thr_saving", "quiet")
    takes(python_api.totalsegmentator, *options, "fast", "roi_subset", "roi_subset_robust")
    takes(nnunet.nnUNetPredictor.predict_from_files_sequential, "save_probabilities")
    source = inspect.getsource(python_api.totalsegmentator)
    assert "download_pretrained_weights(" in source, VERSIONS
    source = inspect.getsource(nnunet.nnUNetv2_predict)
    assert "predictor.predict_from_files(dir_in, dir_out," in source, VERSIONS
    assert "multiprocessing.cpu_count()" in source, VERSIONS
    for name in (*adapters._TRAINERS.values(), adapters.HEAD_TRAINER):
        found = predict_from_raw_data.recursive_find_trainer_class_by_name(name)
        assert found is nnUNetTrainer, VERSIONS


def check_phase_tool():
    adapters._totalsegmentator()
    from totalsegmentator.bin import totalseg_get_phase

    assert callable(totalseg_get_phase.totalsegmentator), VERSIONS
    takes(totalseg_get_phase.get_ct_contrast_phase, "device", "quiet")
    named = {totalseg_get_phase.pi_time_to_phase(seconds)[0] for seconds in range(-10, 300)}
    assert named == {*typing.get_args(PhaseName)}, VERSIONS


def check_downloads():
    from totalsegmentator.bin.totalseg_download_weights import TASK_TO_ID

    for model, task in adapters.DOWNLOAD_TASKS.items():
        assert model in TASK_TO_ID[task], VERSIONS
    for task, folder in adapters.HEAD_MODELS.items():
        ids = TASK_TO_ID[task]
        assert folder in {adapters.TASK_ID_WEIGHTS_CONFIGS[i]["foldername"] for i in ids}, VERSIONS


def check_folders():
    from totalsegmentator import config

    for told in ({}, {"HOME_DIR": "/home"}, {"HOME_DIR": "/home", "WEIGHTS_PATH": "/weights"}):
        for name in ("HOME_DIR", "WEIGHTS_PATH"):
            os.environ.pop(f"TOTALSEG_{name}", None)
        os.environ |= {f"TOTALSEG_{name}": value for name, value in told.items()}
        assert config.get_weights_dir() == adapters.weights_folder()[0], VERSIONS
    source = inspect.getsource(config.send_usage_stats)
    assert '"send_usage_stats"' in source, VERSIONS


CHECKS = {
    "segmenter": check_segmenter,
    "phase_tool": check_phase_tool,
    "downloads": check_downloads,
    "folders": check_folders,
}
