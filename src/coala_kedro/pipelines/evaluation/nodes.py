"""Steps of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd
import SimpleITK as sitk
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from coala_kedro.anatomy import CRLM, LIVER, STRUCTURES
from coala_kedro.cohort import scans_with_role
from coala_kedro.datasets import LazyVolume
from coala_kedro.imaging.geometry import spacing_zyx_mm
from coala_kedro.imaging.label_map import crlm_mask
from coala_kedro.imaging.overlay import Panel, axial_panel, outline_gallery
from coala_kedro.nnunet.inference import LABEL_MAP, predict_scan
from coala_kedro.nnunet.model import TrainedModel
from coala_kedro.nnunet.settings import Compute, Inference
from coala_kedro.statistics import plots
from coala_kedro.statistics import summary as summaries
from coala_kedro.statistics.lesion_matching import COLUMN_TYPES, score_lesions
from coala_kedro.statistics.lesion_summary import LOW_CONTRAST_HU, summarise_lesions
from coala_kedro.statistics.overlap import score_scan


class Statistics(BaseModel):
    """Settings of the statistics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_resamples: int = Field(1000, ge=100, description="Of the bootstrap over patients.")
    seed: int = Field(0, ge=0)
    low_contrast_hu: float = Field(
        LOW_CONTRAST_HU, gt=0, description="Of lesions to the liver; less is hard to see."
    )


class Drawing(BaseModel):
    """Settings of the figure of outlines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scans_per_cohort: int = Field(3, ge=1)


def predict_test(
    accepted_scans: pd.DataFrame,
    scans: Mapping[str, LazyVolume],
    model: TrainedModel,
    inference: Inference,
    compute: Compute,
) -> dict[str, Callable[[], sitk.Image]]:
    """Predict the scans of the role `test` with all folds of both stages.

    Returns:
        Recipes of label maps by scan id.
    """
    return {
        scan_id: partial(_label_map, model, scans[scan_id], inference, compute)
        for scan_id in scans_with_role(accepted_scans, "test")
    }


def _label_map(
    model: TrainedModel, scan: LazyVolume, inference: Inference, compute: Compute
) -> sitk.Image:
    return predict_scan(model, scan, inference, compute)[LABEL_MAP]


def score_scans(
    accepted_scans: pd.DataFrame,
    scans: Mapping[str, LazyVolume],
    label_maps: Mapping[str, LazyVolume],
    predictions: Mapping[str, LazyVolume],
    model: str,
    cohort: str,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compare each prediction with the consensus: CRLM as a whole, by lesion, and the organs.

    Returns:
        Three frames with `model, cohort, scan_id, patient_id, timepoint` first: one row a test scan
        (`statistics.overlap.score_scan`, `n_lesions`, and `scanner` and `slice_thickness_mm` where
        they are known), one a lesion (`statistics.lesion_matching.score_lesions`), and one a scan
        and organ.
    """
    about = accepted_scans.set_index("scan_id")
    scores, lesions, organs = [], [_no_lesions()], []
    for scan_id in tqdm(predictions, desc=f"score {model} {cohort}", unit="scan", disable=None):
        told = about.loc[scan_id]
        identity: dict[str, Any] = {"model": model, "cohort": cohort, "scan_id": scan_id}
        identity |= {name: told[name] for name in ("patient_id", "timepoint")}
        found, by_organ = _score(scans[scan_id](), label_maps[scan_id](), predictions[scan_id]())
        lesions.append(found.assign(**identity))
        organs += [identity | row for row in by_organ]
        n_lesions = int((found["status"] != "false_positive").sum())
        crlm = next(row for row in by_organ if row["structure"] == "crlm")
        scores.append(
            identity
            | {name: value for name, value in crlm.items() if name != "structure"}
            | {"n_lesions": n_lesions}
            | {name: told[name] for name in SCANNER_COLUMNS if name in told}
        )
    by_lesion = pd.concat(lesions, ignore_index=True)
    first = [*IDENTITY, *(c for c in by_lesion if c not in IDENTITY)]
    return pd.DataFrame(scores), by_lesion[first], pd.DataFrame(organs)


IDENTITY = ("model", "cohort", "scan_id", "patient_id", "timepoint")
SCANNER_COLUMNS = ("scanner", "slice_thickness_mm")


def _no_lesions() -> pd.DataFrame:
    """A frame without rows that keeps the columns' types."""
    empty = {name: pd.Series(dtype=kind) for name, kind in COLUMN_TYPES.items()}
    return pd.DataFrame(empty | {name: pd.Series(dtype="str") for name in IDENTITY})


def _score(
    scan: sitk.Image, reference: sitk.Image, predicted: sitk.Image
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The lesions of a scan, and a row for each structure."""
    spacing = spacing_zyx_mm(reference)
    labels, predicted_labels = (sitk.GetArrayViewFromImage(m) for m in (reference, predicted))
    lesions = score_lesions(
        labels == CRLM,
        predicted_labels == CRLM,
        spacing,
        liver=labels == LIVER,
        scan_hu=sitk.GetArrayViewFromImage(scan),
    )
    rows = [
        {"structure": structure.name}
        | score_scan(labels == structure.id, predicted_labels == structure.id, spacing)
        for structure in STRUCTURES
    ]
    return lesions, rows


def collect_scores(*scores: pd.DataFrame) -> pd.DataFrame:
    """One frame of all models and cohorts."""
    return pd.concat(scores, ignore_index=True)


def summarise(
    scan_metrics: pd.DataFrame, lesion_metrics: pd.DataFrame, statistics: Statistics
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tidy summaries of scans and of lesions, and Table 2, teacher beside student."""
    summary = summaries.summarise(scan_metrics, statistics.n_resamples, statistics.seed)
    lesions = summarise_lesions(
        lesion_metrics,
        scan_metrics,
        statistics.n_resamples,
        statistics.seed,
        statistics.low_contrast_hu,
    )
    return summary, lesions, summaries.table_2(summary)


def draw_statistics(scan_metrics: pd.DataFrame) -> tuple[Figure, Figure]:
    """Bland-Altman plot of total tumour volume, and Dice by cohort and timepoint."""
    return plots.bland_altman_figure(scan_metrics), plots.dice_figure(scan_metrics)


def draw_outlines(
    internal_scans: Mapping[str, LazyVolume],
    external_scans: Mapping[str, LazyVolume],
    internal_label_maps: Mapping[str, LazyVolume],
    external_label_maps: Mapping[str, LazyVolume],
    internal_predictions: Mapping[str, LazyVolume],
    external_predictions: Mapping[str, LazyVolume],
    drawing: Drawing,
) -> Figure:
    """The student's outline (red) against the consensus (green), as in the paper's Figure 3.

    The first test scans of each cohort by name are drawn: chosen before anyone saw the result.
    """
    cohorts = {
        "internal": (internal_scans, internal_label_maps, internal_predictions),
        "external": (external_scans, external_label_maps, external_predictions),
    }
    return outline_gallery(_panels(cohorts, drawing.scans_per_cohort), drawing.scans_per_cohort)


def _panels(
    cohorts: Mapping[str, tuple[Mapping[str, LazyVolume], ...]], scans_per_cohort: int
) -> Iterator[Panel]:
    for cohort, (scans, label_maps, predictions) in cohorts.items():
        for scan_id in sorted(predictions)[:scans_per_cohort]:
            scan = scans[scan_id]()
            yield axial_panel(
                sitk.GetArrayFromImage(scan),
                crlm_mask(label_maps[scan_id]()),
                crlm_mask(predictions[scan_id]()),
                spacing_zyx_mm(scan),
                title=f"{cohort}: {scan_id}",
            )
