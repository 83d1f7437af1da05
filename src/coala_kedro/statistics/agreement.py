"""How well raters agree on tumour volumes: intraclass correlation, and differences of volumes.

McGraw & Wong, Psychological Methods 1996, 1(1), 30-46; Bland & Altman, Lancet 1986, 327(8476),
307-310, and Statistical Methods in Medical Research 1999, 8(2), 135-160. Data too thin to judge
give NaN and no error, so that one small subset does not end a study.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from coala_kedro.statistics.estimate import NAN, UNDEFINED, Estimate, mean, t_estimate

COLUMNS = (
    "model",
    "cohort",
    "metric",
    "value",
    "interval",
    "ci_low",
    "ci_high",
    "bootstrap_low",
    "bootstrap_high",
    "p",
    "band",
    "n_scans",
    "n_patients",
    "note",
)
_F, _T, _NONE = "F", "Student's t", "none"
_KEYS = ["model", "cohort", "metric"]


def intraclass_correlation(ratings: ArrayLike) -> dict[str, float]:
    """Two-way, single-measure ICC, without intervals: the bootstrap asks for thousands.

    Args:
        ratings: Volumes, a row per scan and a column per rater, two raters or more.

    Returns:
        `icc_consistency`: ICC(C,1), the paper's (Shrout and Fleiss' ICC(3,1)); a constant bias
        does not change it. `icc_agreement`: ICC(A,1), absolute agreement (their ICC(2,1)); a bias
        lowers it. NaN with fewer than 3 scans, a NaN volume, or no rater's volumes varying.

    Raises:
        ValueError: The ratings are no table with two columns or more.
    """
    table = np.asarray(ratings, dtype=float)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(
            f"Expected a row per scan and a column for each of two raters or more, got shape "
            f"{table.shape}."
        )
    if len(table) < 3 or np.isnan(table).any() or not np.ptp(table, axis=0).any():
        return {"icc_consistency": NAN, "icc_agreement": NAN}
    n, k = table.shape
    off_scans = table.mean(axis=1) - table.mean()
    off_raters = table.mean(axis=0) - table.mean()
    residuals = table - table.mean() - off_scans[:, None] - off_raters
    scans = k * float(off_scans @ off_scans) / (n - 1)
    raters = n * float(off_raters @ off_raters) / (k - 1)
    error = float(np.sum(residuals**2)) / ((n - 1) * (k - 1))
    spread = scans + (k - 1) * error
    return {
        "icc_consistency": (scans - error) / spread,
        "icc_agreement": (scans - error) / (spread + k * (raters - error) / n),
    }


def icc_with_intervals(ratings: ArrayLike) -> dict[str, Estimate]:
    """The ICCs with pingouin's F-based 95 % intervals (McGraw & Wong 1996, table 7).

    The intervals take scans as independent and volumes as normal; with several scans of a patient
    they are too narrow (see `bootstrap`).

    Args:
        ratings: As `intraclass_correlation` takes them.

    Returns:
        Both figures of `intraclass_correlation`. An ICC(A,1) below zero may have no interval:
        where its approximate degrees of freedom are few, the interval would not hold the ICC.
    """
    import pingouin

    figures = intraclass_correlation(ratings)
    table = np.asarray(ratings, dtype=float)
    if math.isnan(figures["icc_consistency"]):
        return dict.fromkeys(figures, UNDEFINED)
    if figures["icc_consistency"] > 1 - 1e-14:
        return {name: _without_error(icc, *table.shape) for name, icc in figures.items()}
    scan, rater = np.indices(table.shape).reshape(2, -1)
    long = pd.DataFrame({"scan": scan, "rater": rater, "volume": table.ravel()})
    pingouin.options["round.column.CI95"] = None
    with np.errstate(divide="ignore", invalid="ignore"):
        textbook = pingouin.intraclass_corr(long, "scan", "rater", "volume").set_index("Type")
    intervals = {}
    for name, kind in (("icc_consistency", "ICC(C,1)"), ("icc_agreement", "ICC(A,1)")):
        icc, (low, high) = figures[name], textbook.at[kind, "CI95"]
        holds = low - 1e-9 <= icc <= high + 1e-9
        intervals[name] = Estimate(icc, *((low, high) if holds else (NAN, NAN)))
    return intervals


def _without_error(icc: float, n: int, k: int) -> Estimate:
    """The interval's limit where raters are a constant apart: pingouin divides by their error."""
    odds = 1 / icc - 1
    f_low, f_high = (
        float(scipy.special.fdtri(n - 1, k - 1, 0.975)),
        float(scipy.special.fdtri(k - 1, n - 1, 0.975)),
    )
    return Estimate(icc, 1 / (1 + odds * f_low), 1 / (1 + odds / f_high))


def band(icc: float) -> str:
    """The paper's word for an ICC: poor < 0.4 <= fair < 0.6 <= good < 0.75 <= excellent.

    Args:
        icc: An intraclass correlation; NaN is `undefined`.
    """
    if math.isnan(icc):
        return "undefined"
    bounds = {"poor": 0.4, "fair": 0.6, "good": 0.75}
    return next((word for word, bound in bounds.items() if icc < bound), "excellent")


class BlandAltman(NamedTuple):
    """Mean difference and 95 % limits of agreement (1.96 SD from it), each with its interval."""

    bias: Estimate
    lower: Estimate
    upper: Estimate


def bland_altman(difference: NDArray[np.float64]) -> BlandAltman:
    """Bias and limits of agreement.

    Intervals by Student's t with standard errors of SD²/n for the bias and, for a limit,
    SD² (1/n + 1.96² / (2(n - 1))) (1999 paper, section 2.2; the 1986 paper rounds it to 3 SD²/n).

    Args:
        difference: Predicted - reference, one per scan.

    Returns:
        In the differences' unit. With one scan only the bias is known, without any all is NaN.
    """
    n, bias = len(difference), mean(difference)
    if n < 2:
        return BlandAltman(Estimate(bias, NAN, NAN), UNDEFINED, UNDEFINED)
    sd = float(difference.std(ddof=1))
    limit_error = sd * math.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))
    return BlandAltman(
        bias=t_estimate(bias, sd / math.sqrt(n), n - 1),
        lower=t_estimate(bias - 1.96 * sd, limit_error, n - 1),
        upper=t_estimate(bias + 1.96 * sd, limit_error, n - 1),
    )


def proportional_bias(
    reference: NDArray[np.float64], predicted: NDArray[np.float64]
) -> tuple[Estimate, float]:
    """Whether the difference grows with the volume: least squares of difference on mean.

    Args:
        reference: Consensus volumes, one per scan.
        predicted: The model's volumes of the same scans.

    Returns:
        Slope in mL per mL, negative where the model finds too little of large tumour loads, and
        the two-sided p of a slope of zero. NaN if the means do not vary; interval and p need
        3 scans.
    """
    dof = len(reference) - 2
    if dof < 0:
        return UNDEFINED, NAN
    x, y = (reference + predicted) / 2, predicted - reference
    x, y = x - x.mean(), y - y.mean()
    spread = float(x @ x)
    if not spread:
        return UNDEFINED, NAN
    slope = float(x @ y) / spread
    if not dof:
        return Estimate(slope, NAN, NAN), NAN
    residuals = y - slope * x
    standard_error = math.sqrt(float(residuals @ residuals) / dof / spread)
    p = 2 * float(scipy.special.stdtr(dof, -abs(slope) / standard_error)) if standard_error else NAN
    return t_estimate(slope, standard_error, dof), p


def volume_differences(
    reference: NDArray[np.float64], predicted: NDArray[np.float64]
) -> dict[str, Estimate]:
    """How far the model's volumes lie from the consensus', by the summary's names of figures.

    Args:
        reference: Consensus volumes in mL, one per scan.
        predicted: The model's volumes of the same scans.

    Returns:
        Bias and limits of agreement in mL, in per cent of the mean of both (1999 paper, section
        3.2; -200 where all is missed, scans without any volume left out), and the slope of
        `proportional_bias`. A positive bias: the model finds more.
    """
    in_ml = bland_altman(predicted - reference)
    found = predicted + reference != 0
    percent = 200 * (predicted - reference)[found] / (reference + predicted)[found]
    in_percent = bland_altman(percent)
    return {
        "volume_bias_ml": in_ml.bias,
        "volume_limit_lower_ml": in_ml.lower,
        "volume_limit_upper_ml": in_ml.upper,
        "volume_difference_percent": in_percent.bias,
        "volume_limit_lower_percent": in_percent.lower,
        "volume_limit_upper_percent": in_percent.upper,
        "volume_slope": proportional_bias(reference, predicted)[0],
    }


def agreement_table(scan_metrics: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Every figure of agreement on volumes with both its intervals.

    Args:
        scan_metrics: One row per model and scan: `model`, `cohort`, `reference_ml`, `predicted_ml`.
        summary: As `summary.summarise` makes it of them.

    Returns:
        Frame with `COLUMNS`. `ci_low` and `ci_high` are the textbook's, by the distribution that
        `interval` names, and take scans as independent and volumes as normal; `bootstrap_low` and
        `bootstrap_high` draw patients, and are the ones to report. `band` is the paper's word for
        an ICC; `p` is that of a slope of zero. `note` says why a figure or interval is NaN.
    """
    rows = [
        (str(model), str(cohort), *row)
        for (model, cohort), scans in scan_metrics.groupby(["model", "cohort"], sort=False)
        for row in _textbook(scans)
    ]
    textbook = pd.DataFrame(rows, columns=[*_KEYS, "interval", "ci_low", "ci_high", "p"])
    of_all = summary[summary["subset"] == "all"].rename(
        columns={"ci_low": "bootstrap_low", "ci_high": "bootstrap_high"}
    )
    table = textbook.merge(of_all, on=_KEYS, how="left")
    table["note"] = table["note"].fillna("")  # as a file gives an empty text back
    is_icc = table["metric"].str.startswith("icc")
    words = [band(value) for value in table["value"]]
    table["band"] = pd.Series(words, dtype=str).where(is_icc, "")
    table["note"] = [_note(row) for row in table.to_dict("records")]
    return table[list(COLUMNS)]


def _textbook(scans: pd.DataFrame) -> Iterator[tuple[str, str, float, float, float]]:
    """Metric, distribution, interval and p, by the names of the summary."""
    volumes = scans[["reference_ml", "predicted_ml"]].to_numpy(dtype=float)
    _, p = proportional_bias(*volumes.T)
    for metric, estimate in icc_with_intervals(volumes).items():
        yield metric, _F, estimate.low, estimate.high, NAN
    for metric, estimate in volume_differences(*volumes.T).items():
        of_slope = p if metric == "volume_slope" else NAN
        yield metric, _T, estimate.low, estimate.high, of_slope
    for metric in ("ttv_class_kappa", "ttv_class_agreement"):
        yield metric, _NONE, NAN, NAN, NAN


def _note(row: dict) -> str:
    """The summary's reason, and that of a missing textbook interval."""
    if pd.isna(row["value"]) or not pd.isna(row["ci_low"]):
        return str(row["note"])
    too_thin = f"{row['interval']}: too few scans, or an ICC below zero"
    reason = "no textbook interval" if row["interval"] == _NONE else too_thin
    return "; ".join(filter(None, [row["note"], reason]))
