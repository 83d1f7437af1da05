import numpy as np
import pandas as pd
import pytest

from coala_kedro.statistics.metric_list import Metric
from coala_kedro.statistics.results_table import table_2
from coala_kedro.statistics.summary import COLUMNS, summarise

pytestmark = pytest.mark.xdist_group("summary")

N_RESAMPLES = 30
KEYS = ["model", "cohort", "subset", "metric"]


def row(summary, metric, model="student", cohort="internal", subset="all"):
    chosen = summary[
        (summary["model"] == model)
        & (summary["cohort"] == cohort)
        & (summary["subset"] == subset)
        & (summary["metric"] == metric)
    ]
    assert len(chosen) == 1
    return chosen.iloc[0]


def scans_of(scan_metrics, model="student", cohort="internal"):
    return scan_metrics[(scan_metrics["model"] == model) & (scan_metrics["cohort"] == cohort)]


def test_every_model_cohort_and_subset_has_every_figure_once(summary):
    assert tuple(summary.columns) == COLUMNS
    keys = summary[["model", "cohort", "subset", "metric"]]
    assert not keys.duplicated().any()
    per_group = summary.groupby(["subset", "model", "cohort"])["metric"].agg(frozenset)
    assert len(per_group) == 2 * 2 * 3
    assert per_group["pre"].nunique() == per_group["post"].nunique() == 1
    assert set(per_group["all"].iloc[0]) - set(per_group["pre"].iloc[0]) == {
        "dice_post_minus_pre",
        "welch_p",
    }


def test_dice_figures_are_those_of_the_scans(summary, scan_metrics):
    dice = scans_of(scan_metrics)["dice"]
    assert row(summary, "dice_mean")["value"] == pytest.approx(dice.mean())
    assert row(summary, "dice_median")["value"] == pytest.approx(dice.median())
    assert row(summary, "dice_iqr")["value"] == pytest.approx(
        dice.quantile(0.75) - dice.quantile(0.25)
    )


def test_surface_figures_are_means_and_medians_of_the_scans(summary, scan_metrics):
    scans = scans_of(scan_metrics, cohort="external").dropna(subset="dice")
    for name in ("nsd_1mm", "nsd_2mm", "nsd_3mm", "hd95_mm", "assd_mm"):
        for figure in ("mean", "median"):
            found = row(summary, f"{name}_{figure}", cohort="external")
            assert found["value"] == pytest.approx(getattr(scans[name], figure)())
            assert found["n_scans"] == len(scans)
            assert found["ci_low"] <= found["value"] <= found["ci_high"]


def test_scans_without_a_dice_are_counted_and_not_averaged(summary, scan_metrics):
    scans = scans_of(scan_metrics, cohort="external")
    assert row(summary, "n_both_empty", cohort="external")["value"] == 1
    mean = row(summary, "dice_mean", cohort="external")
    assert mean["value"] == pytest.approx(scans["dice"].dropna().mean())
    assert mean["n_scans"] == len(scans) - 1
    assert row(summary, "icc_consistency", cohort="external")["n_scans"] == len(scans)


def test_subsets_hold_the_scans_of_their_timepoint(summary, scan_metrics):
    scans = scans_of(scan_metrics)
    means = {}
    for timepoint in ("pre", "post"):
        chosen = scans[scans["timepoint"] == timepoint]
        figure = row(summary, "dice_mean", subset=timepoint)
        means[timepoint] = chosen["dice"].mean()
        assert figure["value"] == pytest.approx(means[timepoint])
        assert figure["n_scans"] == len(chosen)
        assert figure["n_patients"] == chosen["patient_id"].nunique()
    difference = row(summary, "dice_post_minus_pre")["value"]
    assert difference == pytest.approx(means["post"] - means["pre"])


def test_volumes_are_reported_in_millilitres_and_voxels_for_both_raters(summary, scan_metrics):
    scans = scans_of(scan_metrics, model="teacher")
    for volume in ("reference_ml", "predicted_ml", "reference_voxels", "predicted_voxels"):
        values = scans[volume]
        for statistic, expected in {
            "median": values.median(),
            "iqr": values.quantile(0.75) - values.quantile(0.25),
            "max": values.max(),
            "min": values.min(),
        }.items():
            figure = row(summary, f"ttv_{volume}_{statistic}", model="teacher")
            assert figure["value"] == pytest.approx(expected)


def test_bias_is_the_models_volume_less_the_consensus(summary, scan_metrics):
    scans = scans_of(scan_metrics, model="teacher")
    error = scans["predicted_ml"] - scans["reference_ml"]
    bias = row(summary, "volume_bias_ml", model="teacher")
    percent = row(summary, "volume_bias_percent", model="teacher")
    assert bias["value"] == pytest.approx(error.mean())
    assert percent["value"] == pytest.approx(100 * error.sum() / scans["reference_ml"].sum())
    assert percent["ci_low"] < percent["value"] < percent["ci_high"] < 0


def test_intervals_draw_patients_and_not_scans(scan_metrics):
    scans = scans_of(scan_metrics)
    alone = scans[scans["timepoint"] == "pre"]
    twice = alone.loc[alone.index.repeat(2)]
    one, other = (row(summarise(s, N_RESAMPLES, seed=1), "dice_mean") for s in (alone, twice))
    assert one["ci_low"] < one["ci_high"]
    np.testing.assert_allclose(*(r[["ci_low", "ci_high"]].astype(float) for r in (one, other)))


def test_the_order_of_scans_changes_nothing(summary, scan_metrics):
    shuffled = scan_metrics[scan_metrics["model"] == "student"].sample(frac=1, random_state=0)
    again = summarise(shuffled, N_RESAMPLES, seed=1)
    student = summary[summary["model"] == "student"]
    one, other = (frame.set_index(KEYS).sort_index() for frame in (student, again))
    figures = ["value", "ci_low", "ci_high", "n_scans"]
    np.testing.assert_allclose(one[figures].astype(float), other[figures].astype(float))


def test_twice_the_patients_leave_the_figures(summary, scan_metrics):
    scans = scan_metrics[scan_metrics["model"] == "student"]
    copies = scans.assign(
        patient_id=scans["patient_id"] + "_again", scan_id=scans["scan_id"] + "_again"
    )
    twice = summarise(pd.concat([scans, copies]), N_RESAMPLES, seed=1)
    for metric in ("dice_mean", "dice_pooled", "volume_bias_ml", "volume_slope", "hd95_mm_mean"):
        for cohort in ("internal", "external"):
            once = row(summary, metric, cohort=cohort)
            again = row(twice, metric, cohort=cohort)
            assert again["value"] == pytest.approx(once["value"])
            assert np.ptp(again[["ci_low", "ci_high"]]) < np.ptp(once[["ci_low", "ci_high"]])


def test_a_seed_gives_one_summary(scan_metrics, summary):
    scans = scans_of(scan_metrics)
    known = summary.set_index(KEYS[:2]).loc[("student", "internal")]
    once, other = (summarise(scans, N_RESAMPLES, seed).set_index(KEYS[:2]) for seed in (1, 2))
    assert once.equals(known)
    assert not other.equals(known)


def test_one_scan_is_summarised_without_error_and_without_intervals(scan_metrics):
    summary = summarise(scan_metrics.iloc[:1], N_RESAMPLES, seed=1)
    assert summary["ci_low"].isna().all()
    assert row(summary, "dice_mean", model="teacher")["value"] == scan_metrics["dice"].iloc[0]
    assert row(summary, "dice_mean", model="teacher", subset="post")["n_scans"] == 0
    assert np.isnan(row(summary, "icc_agreement", model="teacher")["value"])


def test_no_scan_at_all_gives_an_empty_summary_and_table(scan_metrics):
    summary = summarise(scan_metrics.iloc[:0], N_RESAMPLES, seed=1)
    assert tuple(summary.columns) == COLUMNS
    assert summary.empty
    assert list(table_2(summary).columns) == ["figure"]


def test_table_2_puts_the_models_of_a_cohort_side_by_side(summary):
    assert list(table_2(summary).columns) == [
        "figure",
        "internal, teacher",
        "internal, student",
        "external, teacher",
        "external, student",
    ]


def test_table_2_prints_the_summarys_figures(summary):
    table = table_2(summary).set_index("figure")["external, student"]
    mean = row(summary, "dice_mean", cohort="external")
    iqr = row(summary, "dice_iqr", cohort="external")["value"]
    before = row(summary, "dice_mean", cohort="external", subset="pre")["value"]
    largest = row(summary, "ttv_reference_voxels_max", cohort="external")["value"]
    icc = row(summary, "icc_consistency", cohort="external")
    assert table["Dice, mean (IQR)"] == f"{mean['value']:.2f} ({iqr:.2f})"
    assert table["Dice before therapy, mean (IQR)"].startswith(f"{before:.2f} (")
    assert table["TTV, voxels, largest, consensus"] == f"{largest:,.0f}"
    assert table["ICC of TTV, consistency (95% CI)"] == (
        f"{icc['value']:.2f} ({icc['ci_low']:.2f} to {icc['ci_high']:.2f}), excellent"
    )


def test_table_2_ends_with_the_metrics_that_the_list_puts_there(summary):
    more = Metric("assd_mm_median", "pre", "ASSD, mm", ".1f", "summary", "table_2")
    table = table_2(summary, [more])
    assert table.iloc[:-1].equals(table_2(summary, []))
    assd = row(summary, "assd_mm_median", cohort="external", subset="pre")
    assert table.iloc[-1]["figure"] == "ASSD, mm (95% CI)"
    assert table.iloc[-1]["external, student"] == (
        f"{assd['value']:.1f} ({assd['ci_low']:.1f} to {assd['ci_high']:.1f})"
    )


def test_table_2_shows_a_dash_for_what_is_not_defined(scan_metrics):
    table = table_2(summarise(scan_metrics.iloc[:1], N_RESAMPLES, seed=1)).set_index("figure")
    column = table["internal, teacher"]
    assert column["ICC of TTV, consistency (95% CI)"] == "–"
    assert column["Dice after therapy, mean (IQR)"] == "–"
    assert column["Dice, mean (95% CI)"].endswith("(– to –)")
    assert not column.str.contains("nan").any()
