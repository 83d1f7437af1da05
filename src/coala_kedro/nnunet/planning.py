"""From a training set to nnU-Net's plans and preprocessed data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coala_kedro.anatomy import LABELS, STRUCTURE_IDS
from coala_kedro.child_process import logged
from coala_kedro.disk import DiskFullError, room_in
from coala_kedro.fingerprint import recipe
from coala_kedro.imaging.files import VolumeError, read_grid, read_volume, write_volume
from coala_kedro.imaging.geometry import CANONICAL, orientation_of, oriented
from coala_kedro.locking import alone_in
from coala_kedro.models.parameters import Compute
from coala_kedro.nnunet.process import in_own_process
from coala_kedro.nnunet.protocol import Planning
from coala_kedro.nnunet.training_set import TrainingSet, TrainingSetError
from coala_kedro.nnunet.workspace import (
    CONFIGURATIONS,
    DATASET_ID,
    FILE_ENDING,
    ORIENTATION,
    nnunet_paths,
    preprocessed_dataset,
    raw_dataset,
)
from coala_kedro.nnunet.written import check_written, preprocessed_bytes

if TYPE_CHECKING:
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

PLANS_FILE = "nnUNetPlans.json"


@recipe("nnunet_preprocessed", structures=STRUCTURE_IDS, orientation=CANONICAL)
def prepare(
    folder: Path, *, training_set: TrainingSet, planning: Planning, compute: Compute
) -> None:
    """Plan and preprocess a training set with nnU-Net.

    Args:
        folder: Filled with `raw` (a description that refers to the scans; copies of those that
            lie in another orientation than the canonical one, as nnU-Net takes voxels as they lie),
            `preprocessed` and nnU-Net's output in `prepare.log`.
        training_set: Cases, at least one.
        planning: What the planner may use.
        compute: The machine.

    Raises:
        TrainingSetError: nnU-Net plans no cascade for these scans, or finds a fault in them.
        DiskFullError: The disk is full.
        WrittenError: Something is not whole, though the disk has room.
    """
    description = describe(training_set)
    in_own_process(compute, compute.warm, _prepare, folder, description, planning, compute)


def describe(training_set: TrainingSet) -> dict:
    """The training set as nnU-Net's `dataset.json`, scans by absolute path.

    The key `orientation` is this project's: nnU-Net copies it to the model's folder and reads it
    nowhere.

    Args:
        training_set: Scans and label maps by scan id.
    """
    return {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": len(training_set.cases),
        "file_ending": FILE_ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
        ORIENTATION: CANONICAL,
        "dataset": {
            scan_id: {
                "images": [str(case.scan.absolute())],
                "label": str(case.label_map.absolute()),
            }
            for scan_id, case in sorted(training_set.cases.items())
        },
    }


def canonical_cases(
    cases: Mapping[str, Mapping[str, Any]], folder: Path, workers: int = 1
) -> dict[str, dict[str, Any]]:
    """Scans and label maps in the canonical orientation: a copy of each that lies otherwise.

    Args:
        cases: `images` (one) and `label` by scan id, as in nnU-Net's `dataset.json`.
        folder: nnU-Net's raw dataset; copies get their names of nnU-Net below it.
        workers: Copies made at the same time.

    Returns:
        The cases, with the paths of the copies where there are any.

    Raises:
        VolumeError: A file cannot be read.
        DiskFullError: The disk is full.
    """
    with ThreadPool(workers) as pool:
        return dict(pool.map(partial(_canonical_case, folder), cases.items()))


def _canonical_case(
    folder: Path, named: tuple[str, Mapping[str, Any]]
) -> tuple[str, dict[str, Any]]:
    name, case = named
    (scan,) = case["images"]
    return name, {
        "images": [_canonical(scan, folder / "imagesTr" / f"{name}_0000{FILE_ENDING}")],
        "label": _canonical(case["label"], folder / "labelsTr" / f"{name}{FILE_ENDING}"),
    }


def _canonical(file: str, copy: Path) -> str:
    if orientation_of(read_grid(file)) == CANONICAL:
        return file
    write_volume(oriented(read_volume(file)), copy)
    return str(copy)


def _prepare(folder: Path, description: dict, planning: Planning, compute: Compute) -> None:
    from nnunetv2.experiment_planning import plan_and_preprocess_api as nnunet
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
        DatasetFingerprintExtractor,
    )

    from coala_kedro.nnunet.guards import check_preprocessed  # which knows the plans

    class Fingerprinter(DatasetFingerprintExtractor):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            self.num_foreground_voxels_for_intensitystats = planning.intensity_samples

    workers = compute.pool_workers
    label_maps = [Path(case["label"]) for case in description["dataset"].values()]
    with (
        alone_in(folder),
        nnunet_paths(folder, results=folder / "unused"),
        logged(folder / "prepare.log"),
        room_in(folder, "preprocessed data", lambda: preprocessed_bytes(label_maps)),
    ):
        shutil.rmtree(folder / "raw", ignore_errors=True)
        shutil.rmtree(folder / "preprocessed", ignore_errors=True)
        raw_dataset(folder).mkdir(parents=True)
        try:
            cases = canonical_cases(description["dataset"], raw_dataset(folder), workers)
            described = json.dumps(description | {"dataset": cases}, indent=1)
            (raw_dataset(folder) / "dataset.json").write_text(described, encoding="utf-8")
            nnunet.extract_fingerprint_dataset(
                DATASET_ID, Fingerprinter, workers, True, clean=True, show_progress_bar=False
            )
        except DiskFullError:
            raise
        except (RuntimeError, AssertionError, FileNotFoundError, VolumeError) as error:
            raise TrainingSetError(f"{error} See {folder / 'prepare.log'}.") from None
        plans, plans_name = nnunet.plan_experiment_dataset(
            DATASET_ID, _planner(planning), planning.gpu_memory_target_gb
        )
        if CONFIGURATIONS["lowres"] not in plans["configurations"]:
            raise TrainingSetError(
                f"For scans of {plans['original_median_shape_after_transp']} voxels nnU-Net plans "
                "no low-resolution stage, so there is no cascade to train. Lower "
                f"protocol.planning.gpu_memory_target_gb (now {planning.gpu_memory_target_gb})."
            )
        nnunet.preprocess_dataset(
            DATASET_ID,
            plans_name,
            ("3d_lowres", "3d_fullres"),
            (workers, workers),
            show_progress_bar=False,
        )
        check_preprocessed(folder, description["dataset"])
        check_written(path for path in preprocessed_dataset(folder).rglob("*.*"))


def _planner(planning: Planning) -> type[ExperimentPlanner]:
    """nnU-Net's default planner with the network's size set."""
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    class Planner(ExperimentPlanner):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            self.UNet_base_num_features = planning.base_features
            self.UNet_max_features_3d = planning.max_features
            stages = 14  # as many as nnU-Net gives: more than any network has
            self.UNet_blocks_per_stage_encoder = (planning.convolutions_per_stage,) * stages
            self.UNet_blocks_per_stage_decoder = (planning.convolutions_per_stage,) * (stages - 1)

        @staticmethod
        def static_estimate_VRAM_usage(*args: object) -> float:  # noqa: N802
            # nnU-Net sets its threads to the number of augmentation workers here, which torch
            # refuses for 0.
            import torch
            from nnunetv2.utilities.get_network_from_plans import (
                get_network_from_plans,
            )

            patch_size, inputs, outputs, name, settings, imports = args
            with torch.no_grad():
                network = get_network_from_plans(
                    name, settings, imports, inputs, outputs, allow_init=False
                )
                return network.compute_conv_feature_map_size(patch_size)

    return Planner


def plans_of(prepared: Path) -> dict:
    """nnU-Net's plans in a prepared folder.

    Args:
        prepared: The prepared folder.
    """
    return json.loads((preprocessed_dataset(prepared) / PLANS_FILE).read_text(encoding="utf-8"))


def shareable_description(prepared: Path) -> dict:
    """`dataset.json` without the scans' paths: it is kept in checkpoints and model folders.

    Args:
        prepared: The prepared folder.
    """
    description = json.loads(
        (preprocessed_dataset(prepared) / "dataset.json").read_text(encoding="utf-8")
    )
    del description["dataset"]
    return description
