"""Scan tables that contradict the masks, time or themselves."""


def columns(**given):
    """Columns of the scan table, for a_post, a_pre and b_pre."""

    def spoil(hospital):
        hospital.table = hospital.table.assign(**given)

    return spoil


def days(post, pre):
    return columns(acquired_on=[post, pre, "2020-03-01"])


DAY, YEARS = "impossible_date", "years_between_pre_and_post"
TABLES = {
    "in 1900": (days("1900-05-01", "1900-02-01"), DAY),
    "in 2150": (days("2150-05-01", "2150-02-01"), DAY),
    "pre in 1900, post in 2020": (days("2020-05-01", "1900-01-01"), DAY, YEARS),
    "pre and post six years apart": (days("2026-05-01", "2020-02-01"), YEARS),
    "pre and post on one day": (days("2020-02-01", "2020-02-01"), "pre_and_post_on_one_day"),
    "F 60 and M 35": (
        columns(sex=["M", "F", "F"], age_years=[35, 60, 50]),
        "sex_changes",
        "age_does_not_fit",
    ),
    "F and M": (columns(sex=["M", "F", None]), "sex_changes"),
    "two years younger after three months": (
        columns(age_years=[58, 60, None]),
        "age_does_not_fit",
    ),
    "seven lesions where one is outlined": (columns(n_crlm=[1, 7, 1]), "other_n_crlm"),
    "no lesion where one is outlined": (columns(n_crlm=[1, 0, 1]), "other_n_crlm"),
    "diameter in cm": (columns(largest_crlm_diameter_mm=[28, 2.8, 28]), "other_diameter"),
    "diameter of another": (columns(largest_crlm_diameter_mm=[28, 90, 28]), "other_diameter"),
}
"""Ways to spoil the table, and the codes that must be told of the scan `a_pre`."""

OF_THE_PATIENT = {
    DAY, YEARS, "pre_and_post_on_one_day", "sex_changes", "age_does_not_fit", "post_before_pre",
    "patient_in_training_and_test",
}  # fmt: skip
"""Codes that are told of all scans of the patient."""
