"""Steps of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pandas as pd
import SimpleITK as sitk
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

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
from coala_kedro.statistics.overlap import score_scan


class Statistics(BaseModel):
    """Settings of the statistics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_resamples: int = Field(1000, ge=100, description="Of the bootstrap over patients.")
    seed: int = Field(0, ge=0)


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
    label_maps: Mapping[str, LazyVolume],
    predictions: Mapping[str, LazyVolume],
    model: str,
    cohort: str,
) -> pd.DataFrame:
    """Compare the CRLM of each prediction with the consensus.

    Returns:
        One row a test scan: `model, cohort, scan_id, patient_id, timepoint` and the columns of
        `statistics.overlap.score_scan`.
    """
    rows = []
    about = accepted_scans.set_index("scan_id")[["patient_id", "timepoint"]]
    for scan_id in tqdm(predictions, desc=f"score {model} {cohort}", unit="scan", disable=None):
        reference, predicted = label_maps[scan_id](), predictions[scan_id]()
        scores = score_scan(crlm_mask(reference), crlm_mask(predicted), spacing_zyx_mm(reference))
        identity = {"model": model, "cohort": cohort, "scan_id": scan_id}
        rows.append(identity | about.loc[scan_id].to_dict() | scores)
    return pd.DataFrame(rows)


def collect_scores(*scores: pd.DataFrame) -> pd.DataFrame:
    """One frame of all models and cohorts."""
    return pd.concat(scores, ignore_index=True)


def summarise(
    scan_metrics: pd.DataFrame, statistics: Statistics
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tidy summary and the paper's Table 2, teacher beside student."""
    summary = summaries.summarise(scan_metrics, statistics.n_resamples, statistics.seed)
    return summary, summaries.table_2(summary)


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
