"""The scans in which a model fails most, and what went wrong there."""

from __future__ import annotations

import pandas as pd

N_WORST = 5
COLUMNS = (
    "model",
    "cohort",
    "rank",
    "scan_id",
    "patient_id",
    "timepoint",
    "dice",
    "reference_ml",
    "predicted_ml",
    "missed_ml",
    "invented_ml",
    "n_lesions",
    "lesions_missed",
    "lesions_invented",
    "what_went_wrong",
)


def worst_scans(scan_metrics: pd.DataFrame, n_worst: int = N_WORST) -> pd.DataFrame:
    """Each model's scans of lowest Dice in each cohort.

    Args:
        scan_metrics: One row per model and scan: identity, `dice`, `reference_ml`, `predicted_ml`,
            `reference_voxels`, `predicted_voxels`, `intersection_voxels`, `n_lesions`, `n_misses`,
            `n_false_positives`.
        n_worst: How many at most; of scans with one Dice the larger volume error comes first.

    Returns:
        Frame with `COLUMNS`, the worst first; `missed_ml` is what only the consensus has,
        `invented_ml` what only the model has. Scans without a Dice cannot be ranked: there model
        and consensus agree that nothing is to be seen.
    """
    scored = scan_metrics.dropna(subset="dice")
    voxels = scored["reference_voxels"] + scored["predicted_voxels"]
    ml_per_voxel = (scored["reference_ml"] + scored["predicted_ml"]) / voxels
    rows = scored.assign(
        missed_ml=(scored["reference_voxels"] - scored["intersection_voxels"]) * ml_per_voxel,
        invented_ml=(scored["predicted_voxels"] - scored["intersection_voxels"]) * ml_per_voxel,
        lesions_missed=scored["n_misses"],
        lesions_invented=scored["n_false_positives"],
        error_ml=(scored["predicted_ml"] - scored["reference_ml"]).abs(),
    ).sort_values(["dice", "error_ml", "scan_id"], ascending=[True, False, True])
    groups = rows.groupby(["model", "cohort"], sort=False)
    chosen = rows.assign(rank=groups.cumcount() + 1)
    chosen = chosen[chosen["rank"] <= n_worst]
    order = scan_metrics[["model", "cohort"]].drop_duplicates()
    worst = order.merge(chosen, on=["model", "cohort"])
    words = [_in_words(row) for row in worst.to_dict("records")]
    return worst.assign(what_went_wrong=pd.Series(words, dtype=str))[list(COLUMNS)]


def _in_words(scan: dict) -> str:
    if not scan["predicted_voxels"]:
        return f"nothing found; all {scan['reference_ml']:.1f} mL missed"
    if not scan["reference_voxels"]:
        return f"nothing to find; {scan['predicted_ml']:.1f} mL invented"
    words = [f"{scan['missed_ml']:.1f} mL missed, {scan['invented_ml']:.1f} mL invented"]
    if scan["n_misses"]:
        words.append(f"{scan['n_misses']} of {_lesions(scan['n_lesions'])} missed")
    if scan["n_false_positives"]:
        words.append(f"{_lesions(scan['n_false_positives'])} invented")
    return "; ".join(words)


def _lesions(n: int) -> str:
    return "1 lesion" if n == 1 else f"{n} lesions"
