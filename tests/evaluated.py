"""A cohort of tiny masks, evaluated by the study's own steps to all of its frames."""

import numpy as np
import pandas as pd
import SimpleITK as sitk

from coala_kedro.anatomy import CRLM, LIVER
from coala_kedro.nnunet.model import TrainedModel
from coala_kedro.pipelines.evaluation import nodes
from coala_kedro.statistics.agreement import agreement_table
from coala_kedro.statistics.comparisons import compare
from coala_kedro.statistics.free_response import free_response
from coala_kedro.statistics.rater_summary import summarise_raters
from coala_kedro.statistics.subgroups import class_table, summarise_subgroups
from coala_kedro.statistics.worst_scans import worst_scans

SHAPE, SPACING_XYZ_MM = (6, 20, 20), (2.0, 2.0, 5.0)
SETTINGS = nodes.Statistics().model_copy(update={"n_resamples": 30})  # fewer than a study may
SHIFTS = {"teacher": 2, "student": 1}
READERS = {"reader_1": 0, "reader_2": 1, "reader_3": -1}


def image(array):
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(SPACING_XYZ_MM)
    return made


def mask(*starts, shift=0):
    """Cubes of 2 x 4 x 4 voxels at the given places, shifted in x."""
    array = np.zeros(SHAPE, np.uint8)
    for start in starts:
        array[1:3, 4:8, start + shift : start + shift + 4] = 1
    return array


def label_map(crlm):
    array = np.full(SHAPE, LIVER, np.uint8)
    array[0] = 0
    array[crlm > 0] = CRLM
    return image(array)


def scan(patient, timepoint, *lesions, found=None, **about):
    return {
        "scan_id": f"{patient}_{timepoint}",
        "patient_id": patient,
        "timepoint": timepoint,
        "role": "test",
        "acquired_on": "2020-01-01",
        "lesions": lesions,
        "found": lesions if found is None else found,
        **about,
    }


def lazy(made):
    return lambda: made


class Cohort:
    """A cohort's test scans as the catalog gives them, predicted by both models."""

    def __init__(self, *scans, readers=READERS):
        table = pd.DataFrame(scans)
        self.accepted = table.drop(columns=["lesions", "found"])
        self.scans, self.label_maps, self.readers = {}, {}, {}
        self.predictions = {model: {} for model in SHIFTS}
        for one in scans:
            scan_id = one["scan_id"]
            self.scans[scan_id] = lazy(image(np.full(SHAPE, 80, np.int16)))
            self.label_maps[scan_id] = lazy(label_map(mask(*one["lesions"])))
            for reader, shift in readers.items():
                drawn = image(mask(*one["lesions"], shift=shift))
                self.readers[f"{reader}/{scan_id}"] = lazy(drawn)
            for model, shift in SHIFTS.items():
                crlm = mask(*one["found"], shift=shift)
                predicted = self.predictions[model]
                predicted[f"label_maps/{scan_id}"] = lazy(label_map(crlm))
                predicted[f"fold_votes/{scan_id}"] = lazy(image(4 * crlm + mask(14)))

    def scores(self, model, cohort, tmp_path):
        trained = TrainedModel(tmp_path, (0, 1, 2, 3, 4), "")
        return nodes.score_scans(
            self.accepted,
            self.scans,
            self.label_maps,
            self.predictions[model],
            trained,
            model,
            cohort,
        )


def through_file(tmp_path):
    """What the catalog does to a frame."""

    def filed(frame):
        path = tmp_path / "frame.csv"
        frame.to_csv(path, index=False)
        return pd.read_csv(path, dtype={"scan_id": str, "patient_id": str})

    return filed


def evaluate(cohort, tmp_path):
    """All frames by name, each through a file as the catalog does."""
    filed = through_file(tmp_path)
    by_model = [cohort.scores(model, "internal", tmp_path) for model in SHIFTS]
    names = ("scan_metrics", "lesion_metrics", "organ_metrics", "candidate_metrics")
    frames = {
        name: filed(nodes.collect_scores(*parts))
        for name, parts in zip(names, zip(*by_model, strict=True), strict=True)
    }
    frames["reader_metrics"] = filed(
        nodes.score_raters(cohort.accepted, cohort.readers, "internal", **cohort.predictions)
    )
    scans, raters = frames["scan_metrics"], frames["reader_metrics"]
    made = nodes.summarise(scans, frames["lesion_metrics"], SETTINGS)
    frames |= zip(("summary", "lesion_summary", "table_2"), map(filed, made), strict=True)
    frames["agreement"] = filed(agreement_table(scans, frames["summary"]))
    frames["ttv_classes"] = filed(class_table(scans, SETTINGS.ttv_bounds_ml))
    frames["free_response"] = filed(free_response(frames["candidate_metrics"], scans))
    resampling = SETTINGS.n_resamples, SETTINGS.seed
    frames["reader_summary"] = filed(summarise_raters(raters, *resampling))
    frames["tests"] = filed(compare(scans, raters, *resampling))
    frames["subgroups"] = filed(summarise_subgroups(scans, *resampling))
    frames["worst_scans"] = filed(worst_scans(scans))
    tables = {"internal": cohort.accepted, "external": cohort.accepted}
    frames["paper_comparison"] = filed(nodes.compare_with_paper(frames["summary"], **tables))
    return frames


NORMAL = (
    scan("a", "pre", 1, 9, scanner="A", slice_thickness_mm=1.0),
    scan("a", "post", 1, scanner="A", slice_thickness_mm=5.0),
    scan("b", "pre", 1, 9, found=(1,), scanner="B", slice_thickness_mm=5.0),
    scan("b", "post", 9, scanner="B"),
    scan("c", "pre", 5, found=(5, 14)),
    scan("d", "post", found=(2,)),
    scan("e", "pre"),
)
ODD = {
    "one scan": (scan("a", "pre", 1, 9),),
    "one patient": (scan("a", "pre", 1, 9), scan("a", "post", 1)),
    "no post scans": (scan("a", "pre", 1, 9), scan("b", "pre", 1), scan("c", "pre", 9)),
    "no lesions": (scan("a", "pre"), scan("a", "post"), scan("b", "pre"), scan("b", "post")),
    "only misses": (
        scan("a", "pre", 1, 9, found=()),
        scan("a", "post", 1, found=()),
        scan("b", "pre", 1, found=()),
        scan("b", "post", 1, found=()),
    ),
}
