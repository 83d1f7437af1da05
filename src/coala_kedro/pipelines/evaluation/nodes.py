"""Steps of evaluation: scores of every scan, what they say together, and the paper beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import SimpleITK as sitk
from pydantic import BaseModel, ConfigDict, Field, field_validator
from tqdm import tqdm

from coala_kedro.anatomy import CRLM, LIVER, STRUCTURES
from coala_kedro.cohort import scans_with_role
from coala_kedro.datasets import LazyVolume
from coala_kedro.datasets.grouping import by_scan, part_of
from coala_kedro.imaging.geometry import oriented, spacing_zyx_mm
from coala_kedro.imaging.label_map import crlm_mask
from coala_kedro.models.prediction import FOLD_VOTES, LABEL_MAP, SegmentationModel
from coala_kedro.statistics import paper, rater_metrics
from coala_kedro.statistics.free_response import CANDIDATE_TYPES, candidates
from coala_kedro.statistics.lesion_matching import COLUMN_TYPES, score_lesions
from coala_kedro.statistics.lesion_summary import LOW_CONTRAST_HU, summarise_lesions
from coala_kedro.statistics.overlap import score_scan
from coala_kedro.statistics.results_table import table_2
from coala_kedro.statistics.subgroups import CLASS_BOUNDS_ML, LESION_BOUNDS, SLICE_BOUNDS_MM
from coala_kedro.statistics.summary import summarise as summarise_scans
from coala_kedro.statistics.worst_scans import N_WORST

IDENTITY = ("model", "cohort", "scan_id", "patient_id", "timepoint")
COUNTS = {"n_hits": "hit", "n_misses": "miss", "n_false_positives": "false_positive"}
"""Of lesions by status, in the frame of scans."""


class Statistics(BaseModel):
    """Settings of the statistics."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_resamples: int = Field(2000, ge=100, description="Of the bootstrap over patients.")
    seed: int = Field(0, ge=0)
    low_contrast_hu: float = Field(
        LOW_CONTRAST_HU, gt=0, description="Of lesions to the liver; less is hard to see."
    )
    ttv_bounds_ml: tuple[float, ...] = Field(
        CLASS_BOUNDS_ML, min_length=1, description="Between classes of total tumour volume."
    )
    slice_bounds_mm: tuple[float, ...] = Field(
        SLICE_BOUNDS_MM, min_length=1, description="Between classes of slice thickness."
    )
    lesion_bounds: tuple[int, ...] = Field(
        LESION_BOUNDS, min_length=1, description="Between classes of numbers of lesions."
    )
    n_worst: int = Field(N_WORST, ge=1, description="Worst scans listed, a model and cohort.")

    @field_validator("ttv_bounds_ml", "slice_bounds_mm", "lesion_bounds")
    @classmethod
    def _rise(cls, bounds: tuple[float, ...]) -> tuple[float, ...]:
        if list(bounds) != sorted({*bounds}) or bounds[0] <= 0:
            raise ValueError(f"bounds of classes must be above 0 and rise, got {bounds}")
        return bounds


def score_scans(
    accepted_scans: pd.DataFrame,
    scans: Mapping[str, LazyVolume],
    label_maps: Mapping[str, LazyVolume],
    predictions: Mapping[str, LazyVolume],
    trained: SegmentationModel,
    model: str,
    cohort: str,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compare each prediction with the consensus: CRLM as a whole, by lesion, and the organs.

    Args:
        accepted_scans: The study's scans.
        scans: CT by scan id.
        label_maps: Consensus over organs, by scan id.
        predictions: Label maps and votes, keyed `<name>/<scan_id>`.
        trained: The model that predicted.
        model: Its name.
        cohort: The cohort's name.

    Returns:
        Four frames with `model, cohort, scan_id, patient_id, timepoint` first: one row a test scan
        (`statistics.overlap.score_scan`, counts of lesions, `slice_thickness_mm`, which is the
        spacing of slices where the table has none, and `scanner` if the table has it), one a lesion
        (`statistics.lesion_matching.score_lesions`), one a scan and organ, and one a lesion that
        the model or only some folds see (`statistics.free_response.candidates`).
    """
    about = accepted_scans.set_index("scan_id").to_dict("index")
    scores, organs = [], []
    lesions, seen = [_no_rows(COLUMN_TYPES)], [_no_rows(CANDIDATE_TYPES)]
    predicted, votes = (part_of(predictions, part) for part in (LABEL_MAP, FOLD_VOTES))
    for scan_id in tqdm(predicted, desc=f"score {model} {cohort}", unit="scan", disable=None):
        row = about[scan_id]
        identity: dict[str, Any] = {"model": model, "cohort": cohort, "scan_id": scan_id}
        identity |= {name: row[name] for name in ("patient_id", "timepoint")}
        volumes = label_maps[scan_id], predicted[scan_id], scans[scan_id], votes[scan_id]
        # Axial slices and the lesions' order are those of the patient, not of the file.
        *maps, scan, fold_votes = (oriented(volume()) for volume in volumes)
        found, by_organ = _score(scan, *maps)
        lesions.append(found.assign(**identity))
        reference, drawn = (crlm_mask(image) for image in maps)
        by_candidate = candidates(
            reference, drawn, sitk.GetArrayFromImage(fold_votes), trained.n_folds
        )
        seen.append(by_candidate.assign(**identity))
        organs += [identity | scored for scored in by_organ]
        crlm = next(scored for scored in by_organ if scored["structure"] == "crlm")
        scores.append(
            identity
            | {name: value for name, value in crlm.items() if name != "structure"}
            | _count(found)
            | _acquisition(row, maps[0])
        )
    columns = None if scores else IDENTITY  # a file needs a line to be read from
    return (
        pd.DataFrame(scores, columns=columns),
        _identity_first(lesions),
        pd.DataFrame(organs, columns=columns),
        _identity_first(seen),
    )


def _no_rows(types: Mapping[str, str]) -> pd.DataFrame:
    """A frame without rows that keeps the columns' types."""
    empty = {name: pd.Series(dtype=kind) for name, kind in types.items()}
    return pd.DataFrame(empty | {name: pd.Series(dtype="str") for name in IDENTITY})


def _identity_first(frames: list[pd.DataFrame]) -> pd.DataFrame:
    rows = pd.concat(frames, ignore_index=True)
    return rows[[*IDENTITY, *(column for column in rows if column not in IDENTITY)]]


def _acquisition(row: Mapping[Any, Any], image: sitk.Image) -> dict[str, Any]:
    thickness_mm = row.get("slice_thickness_mm", math.nan)
    known = {"scanner": row["scanner"]} if "scanner" in row else {}
    spacing_mm = spacing_zyx_mm(image)[0]
    return known | {"slice_thickness_mm": spacing_mm if pd.isna(thickness_mm) else thickness_mm}


def _count(lesions: pd.DataFrame) -> dict[str, int]:
    counts = {name: int((lesions["status"] == status).sum()) for name, status in COUNTS.items()}
    return {"n_lesions": counts["n_hits"] + counts["n_misses"]} | counts


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


def score_raters(
    accepted_scans: pd.DataFrame,
    reader_masks: Mapping[str, LazyVolume],
    cohort: str,
    **predictions: Mapping[str, LazyVolume],
) -> pd.DataFrame:
    """Hold readers and models against each reader and the consensus of the others.

    Args:
        accepted_scans: The study's scans.
        reader_masks: Keyed `<reader>/<scan_id>`.
        cohort: Its name.
        **predictions: Of the test scans, by model.

    Returns:
        The rows of `statistics.rater_metrics.score_raters` of every test scan, with
        `cohort, scan_id, patient_id, timepoint` after the pair.
    """
    masks = by_scan(reader_masks)
    predicted = {model: part_of(volumes, LABEL_MAP) for model, volumes in predictions.items()}
    frames = [pd.DataFrame(columns=[*rater_metrics.COLUMNS, *IDENTITY[1:]])]
    about = accepted_scans.set_index("scan_id")[["patient_id", "timepoint"]].astype(str).T.to_dict()
    tested = scans_with_role(accepted_scans, "test")
    for scan_id in tqdm(tested, desc=f"rate readers {cohort}", unit="scan", disable=None):
        readers = {reader: oriented(read()) for reader, read in masks[scan_id].items()}
        models = {name: crlm_mask(oriented(maps[scan_id]())) for name, maps in predicted.items()}
        rows = rater_metrics.score_raters(readers, models)
        frames.append(rows.assign(cohort=cohort, scan_id=scan_id, **about[scan_id]))
    scored = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    first = [*rater_metrics.COLUMNS, *IDENTITY[1:]]
    return scored[[*first, *(column for column in scored if column not in first)]]


def collect_scores(*scores: pd.DataFrame) -> pd.DataFrame:
    """Stack frames.

    Args:
        *scores: Of each model and cohort; those without rows are left out.

    Returns:
        One frame of all.
    """
    kept = [frame for frame in scores if len(frame)]
    return pd.concat(kept or [*scores], ignore_index=True)


def summarise(
    scan_metrics: pd.DataFrame, lesion_metrics: pd.DataFrame, statistics: Statistics
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Summarise scans and lesions.

    Args:
        scan_metrics: As catalogued.
        lesion_metrics: As catalogued.
        statistics: Settings.

    Returns:
        The tidy summary of the scans, that of the lesions, and Table 2, teacher beside student.
    """
    resampling = statistics.n_resamples, statistics.seed
    summary = summarise_scans(scan_metrics, *resampling, statistics.ttv_bounds_ml)
    lesions = summarise_lesions(
        lesion_metrics, scan_metrics, *resampling, statistics.low_contrast_hu
    )
    return summary, lesions, table_2(summary)


def compare_with_paper(summary: pd.DataFrame, **scan_tables: pd.DataFrame) -> pd.DataFrame:
    """Put the paper's figures beside the run's.

    Args:
        summary: As `summarise` returns it.
        **scan_tables: The accepted scans, by cohort.

    Returns:
        See `statistics.paper.compare_with_paper`.
    """
    return paper.compare_with_paper(summary, scan_tables)
