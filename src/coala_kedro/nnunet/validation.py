"""The final validation of a fold, scan by scan: what is done stands when it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nnunetv2.configuration import default_num_processes
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
from numpy.typing import NDArray

from coala_kedro.disk import written_whole
from coala_kedro.nnunet.inference import Cropped
from coala_kedro.nnunet.predictor import FoldsPredictor
from coala_kedro.nnunet.resampling import Resampling
from coala_kedro.nnunet.workspace import CONFIGURATIONS, FILE_ENDING
from coala_kedro.nnunet.written import SUMMARY, check_written, is_whole
from coala_kedro.processes import RunStoppedError

if TYPE_CHECKING:
    from coala_kedro.nnunet.trainer import FoldTrainer

_AT_ONCE = 2
"""While one scan is predicted, another is read or written."""
_WORDS = "a label map of the validation"


class Validation:
    """nnU-Net's final validation: the same label maps and Dice, sooner.

    nnU-Net's own does all at one go, sends tiles through the network one by one, and resamples
    logits class by class.
    """

    def __init__(self, trainer: FoldTrainer) -> None:
        """Prepare it.

        Args:
            trainer: At the end of its training.
        """
        self._trainer = trainer
        self._plans, self._stage = trainer.plans_manager, trainer.configuration_manager
        self._resampling = Resampling(self._stage)
        self._folder = Path(trainer.output_folder) / "validation"
        further = Path(trainer.output_folder_base) / "predicted_next_stage"
        has_next = bool(self._stage.next_stage_names)
        self._handed_on = further / CONFIGURATIONS["cascade"] if has_next else None
        self._predictor = FoldsPredictor(
            tile_step_size=0.5, use_mirroring=True, device=trainer.device, allow_tqdm=False
        )
        self._predictor.manual_initialization(
            trainer.network,
            self._plans,
            self._stage,
            None,
            trainer.dataset_json,
            type(trainer).__name__,
            trainer.inference_allowed_mirroring_axes,
        )

    def files(self, case: str) -> list[Path]:
        """What is written of a scan: its label map, before it that which the next stage reads.

        Args:
            case: The scan.
        """
        further = [self._handed_on / f"{case}.b2nd"] if self._handed_on else []
        return [*further, self._folder / f"{case}{FILE_ENDING}"]

    def predict(self, cases: Sequence[str], reason_to_stop: Callable[[], str]) -> None:
        """Write the label maps that are not there yet.

        Args:
            cases: The scans.
            reason_to_stop: Asked before every scan.

        Raises:
            RunStoppedError: There is a reason.
        """
        left = [case for case in cases if not all(map(is_whole, self.files(case)))]

        def predict(case: str) -> None:
            if reason := reason_to_stop():
                raise RunStoppedError(
                    f"stopped in its final validation ({reason}). The scans that are done stand: "
                    "run the same command again."
                )
            print(f"Predicting {case}")  # noqa: T201
            self._predict(case)

        with ThreadPoolExecutor(min(_AT_ONCE, default_num_processes)) as pool:
            for _ in pool.map(predict, left):
                pass

    def score(self) -> None:
        """Measure Dice of every label map, as nnU-Net does."""
        trainer = self._trainer
        labels = trainer.label_manager
        compute_metrics_on_folder(
            str(Path(trainer.preprocessed_dataset_folder_base) / "gt_segmentations"),
            str(self._folder),
            str(self._folder / SUMMARY),
            self._plans.image_reader_writer_class(),
            FILE_ENDING,
            labels.foreground_labels,
            labels.ignore_label,
            chill=True,
            num_processes=default_num_processes,
        )

    def _predict(self, case: str) -> None:
        trainer = self._trainer
        dataset = trainer.dataset_class(
            trainer.preprocessed_dataset_folder,
            [case],
            folder_with_segs_from_previous_stage=trainer.folder_with_segs_from_previous_stage,
        )
        voxels, _, earlier, properties = dataset.load_case(case)
        data = torch.from_numpy(np.asarray(voxels[:]))
        labels = torch.from_numpy(np.asarray(earlier[:])) if trainer.is_cascaded else None
        slabs = self._predictor.slabs(data, labels)
        old = data.shape[1:]
        *further, on_scan = self.files(case)
        if further:
            kept = [*slabs]
            slabs = iter(kept)
            shape = self._shape_of_next_stage(case)
            self._hand_on(further[0], self._label_map(kept, old, shape, self._stage.spacing))
        cropped = _cropped(properties, self._plans.transpose_forward)
        made = self._label_map(slabs, old, cropped.shape, cropped.spacing)
        whole = cropped.put_back(self._plans, made)
        with written_whole(on_scan, _WORDS, whole.nbytes) as partial:
            self._plans.image_reader_writer_class().write_seg(whole, str(partial), properties)
            check_written([partial])

    def _label_map(self, slabs: Any, old: Any, shape: Any, spacing: Any) -> NDArray[np.uint8]:
        return self._resampling.label_map(slabs, old, shape, self._stage.spacing, spacing)[0]

    def _shape_of_next_stage(self, case: str) -> tuple[int, ...]:
        stage = self._plans.get_configuration(CONFIGURATIONS["cascade"])
        folder = Path(self._trainer.preprocessed_dataset_folder_base) / stage.data_identifier
        voxels, *_ = nnUNetDatasetBlosc2(str(folder), [case]).load_case(case)
        return tuple(voxels.shape[1:])

    def _hand_on(self, path: Path, label_map: NDArray[np.uint8]) -> None:
        blocks, chunks = comp_blosc2_params((1, *label_map.shape), tuple(self._stage.patch_size), 1)
        with written_whole(path, _WORDS, label_map.nbytes) as partial:
            nnUNetDatasetBlosc2.save_seg(
                label_map,
                str(partial.with_suffix("")),
                chunks_seg=[int(n) for n in chunks[1:]],
                blocks_seg=[int(n) for n in blocks[1:]],
            )
            check_written([partial])


def _cropped(properties: Mapping[str, Any], axes: Sequence[int]) -> Cropped:
    return Cropped(
        properties["shape_before_cropping"],
        properties["shape_after_cropping_and_before_resampling"],
        properties["bbox_used_for_cropping"],
        [properties["spacing"][axis] for axis in axes],
    )
