"""Several series or acquisitions in one folder, and which of them is meant."""

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_writer import save, set_elements, slices_of, uid
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_dicom import SOUND, assert_same, scan_of

from coala_kedro.imaging.dicom import inspect_series, read_series
from coala_kedro.imaging.dicom_stacks import SeriesChoice
from coala_kedro.imaging.files import VolumeError

N = 8


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "series"


def brighter(scan, by_hu):
    return sitk.Cast(scan + by_hu, sitk.sitkInt16)


def phase(number, **elements):
    """Slices of a phase of its own voxels and instances, under the UID of one series."""
    made = slices_of(brighter(scan_of(), 100 * number), series="study")
    for n, slice_ in enumerate(made):
        instance = uid("study", number, n)
        slice_.file_meta.MediaStorageSOPInstanceUID = instance
        set_elements(slice_, {"SOPInstanceUID": instance} | {
            key: value(n) if callable(value) else value for key, value in elements.items()
        })  # fmt: skip
    return made


def at(hour, step_s=0.0):
    return lambda n: f"{hour:02d}00{n * step_s:09.6f}"


PHASES = {
    "AcquisitionNumber": [{"AcquisitionNumber": 4}, {"AcquisitionNumber": 7}],
    "TemporalPositionIdentifier": [
        {"TemporalPositionIdentifier": 1, "AcquisitionNumber": 1},
        {"TemporalPositionIdentifier": 2, "AcquisitionNumber": 1}],
    "AcquisitionTime": [{"AcquisitionTime": "101000"}, {"AcquisitionTime": "101500.25"}],
    "AcquisitionTime of each slice": [
        {"AcquisitionTime": at(10, 0.4)}, {"AcquisitionTime": at(11, 0.4)}],
    "ContentTime": [{"ContentTime": at(10)}, {"ContentTime": at(11)}],
    "ImageType": [
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}],
    "ConvolutionKernel": [{"ConvolutionKernel": "B70f"}, {"ConvolutionKernel": ["I30f", "3"]}],
    "InstanceNumber": [{"InstanceNumber": lambda n: n + 1}, {"InstanceNumber": lambda n: n + 9}],
}  # fmt: skip
TOLD = {
    "AcquisitionNumber": "phase 1, by AcquisitionNumber 4: 8 slices of 2.5 mm; "
    "phase 2, by AcquisitionNumber 7: 8 slices of 2.5 mm",
    "AcquisitionTime of each slice": "phase 1, by AcquisitionTime: 8 slices of 2.5 mm; "
    "phase 2, by AcquisitionTime: 8 slices of 2.5 mm",
}


CHOICES = {
    "AcquisitionNumber": {"acquisition": 7},
    "ImageType": {"image_type": "ORIGINAL/.*"},
    "ConvolutionKernel": {"kernel": "I30f.*"},
}


@pytest.mark.parametrize("name", PHASES)
def test_phases_under_one_uid_are_told_as_such_and_the_chosen_one_is_read(folder, name):
    save([*phase(2, **PHASES[name][1]), *phase(1, **PHASES[name][0])], folder)
    facts = inspect_series(folder)
    assert facts["n_duplicate_slices"] == 0
    assert "n_overlapping_slices" not in facts
    assert facts["several_acquisitions"].count("8 slices of 2.5 mm") == 2
    assert name.split()[0].replace("Content", "Acquisition") in facts["several_acquisitions"]
    assert facts["several_acquisitions"] == TOLD.get(name, facts["several_acquisitions"])
    with pytest.raises(VolumeError, match="There are 2 acquisitions"):
        read_series(folder)
    choice = SeriesChoice(**CHOICES.get(name, {"phase": 2}))
    assert inspect_series(folder, choice) == SOUND | {"n_files": 16}
    assert_same(read_series(folder, choice), brighter(scan_of(), 200))


def half_a_gap_up(made):
    for slice_ in made:
        x, y, z = slice_.ImagePositionPatient
        set_elements(slice_, {"ImagePositionPatient": [x, y, z + 1.25]})
    return made


def thirds(made):
    """As `made`, one third of a gap further up."""
    for slice_ in made:
        x, y, z = slice_.ImagePositionPatient
        set_elements(slice_, {"ImagePositionPatient": [x, y, z + 2.5 / 3]})
    return made


BY_ITS_OWN_WAY = ("AcquisitionNumber", "AcquisitionTime of each slice", "InstanceNumber")
MOVED = [(half_a_gap_up, name) for name in PHASES] + [
    pytest.param(thirds, name, marks=() if name in BY_ITS_OWN_WAY else pytest.mark.slow)
    for name in PHASES
]


@pytest.mark.parametrize(("move", "name"), MOVED)
def test_phases_whose_slices_lie_between_each_other_are_no_finer_scan(folder, name, move):
    """Half a gap apart they look like one series of twice as many slices."""
    save([*move(phase(2, **PHASES[name][1])), *phase(1, **PHASES[name][0])], folder)
    assert inspect_series(folder)["several_acquisitions"].count("8 slices of 2.5 mm") == 2
    with pytest.raises(VolumeError, match="There are 2 acquisitions"):
        read_series(folder)
    choice = SeriesChoice(**CHOICES.get(name, {"phase": 2}))
    moved = brighter(scan_of(), 200)
    moved.SetOrigin(move(phase(2))[0].ImagePositionPatient)
    assert_same(read_series(folder, choice), moved)


@pytest.mark.parametrize("name", [None, *PHASES])
def test_parts_of_one_acquisition_lie_beside_each_other(folder, name):
    """The table went on; or slices are counted anyhow, such as by names as texts."""
    made = slices_of(scan_of())
    for n, slice_ in enumerate(made):
        number = sorted(range(6, 14), key=str).index(n + 6)
        set_elements(slice_, {"InstanceNumber": number})
        for key, value in PHASES[name][n // 4].items() if name else ():
            set_elements(slice_, {key: value(n) if callable(value) else value})
    save(made, folder)
    assert "several_acquisitions" not in inspect_series(folder)
    assert_same(read_series(folder), scan_of())


def test_phases_of_other_heights_and_one_of_them_turned_over(folder):
    """The arterial phase ends at the kidneys; the table went back for the other."""
    first = phase(1, AcquisitionTime=at(10, 0.4))[:5]
    second = phase(2, AcquisitionTime=lambda n: f"1100{(20 - n) * 0.4:09.6f}")
    save([*first, *second], folder)
    facts = inspect_series(folder, SeriesChoice(phase=2))
    if "n_slices" in facts:  # Taken apart rightly, or not at all: never a mixture.
        assert_same(read_series(folder, SeriesChoice(phase=2)), brighter(scan_of(), 200))
    else:
        assert "several_acquisitions" not in facts


def test_what_nothing_tells_apart_is_no_copy_either(folder):
    save([*phase(1), *phase(2)[:3]], folder)
    facts = inspect_series(folder)
    assert (facts["n_duplicate_slices"], facts["n_overlapping_slices"]) == (0, 3)
    assert "several_acquisitions" not in facts


def test_copies_are_the_same_image_or_the_same_pixels(folder):
    made = phase(1)
    again = phase(1, InstanceNumber=lambda n: 50 + n)[2:5]  # sent by the PACS with new UIDs
    for n, slice_ in enumerate(again):
        slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = uid("again", n)
    save([*made, *again, made[6]], folder)
    facts = inspect_series(folder)
    assert facts["n_duplicate_slices"] == 4
    assert not {"n_overlapping_slices", "several_acquisitions"} & set(facts)


def test_a_sound_series_of_changing_times_and_numbers_is_one(folder):
    """Axial scanners number every position as an acquisition of its own."""
    made = slices_of(scan_of())
    for n, slice_ in enumerate(made):
        set_elements(slice_, {"AcquisitionNumber": n, "AcquisitionTime": at(10, 2)(n)})
    save(made, folder)
    assert inspect_series(folder) == SOUND
    assert_same(read_series(folder), scan_of())


def study(folder):
    """A localizer, three series of two thicknesses, and a dose report as a picture."""
    thick = brighter(scan_of(), 100)
    made = {
        "arterial": slices_of(scan_of(), series="arterial", SeriesNumber=3,
                              SeriesDescription="Abd ART Doe^Jane", AcquisitionTime="100000"),
        "portal": slices_of(thick, series="portal", SeriesNumber=4,
                            SeriesDescription="Abd PV 2.5", AcquisitionTime="100040"),
        "thin": slices_of(scan_of(n_slices=7), series="thin", SeriesNumber=5,
                          SeriesDescription="Abd PV 1.0", AcquisitionTime="100040",
                          SliceThickness=1.0),
        "localizer": slices_of(scan_of(n_slices=1), series="topogram", SeriesNumber=1,
                               ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
                               SeriesDescription="Topogram"),
    }  # fmt: skip
    save([slice_ for slices in made.values() for slice_ in slices], folder)
    return thick


@pytest.mark.parametrize(
    "choice",
    [
        {"number": 4},
        {"description": ".*PV 2.*"},
        {"description": "(?i).*pv.*", "slice_thickness_mm": 2.5},
        {"phase": 2, "slice_thickness_mm": 2.5},
    ],
)
def test_one_of_a_study_s_series_is_chosen(folder, choice):
    thick = study(folder)
    assert inspect_series(folder, SeriesChoice(**choice)) == SOUND | {"n_files": 24}
    assert_same(read_series(folder, SeriesChoice(**choice)), thick)


def test_series_are_told_by_number_and_never_by_name(folder):
    study(folder)
    facts = inspect_series(folder)
    assert facts["several_series"] == (
        "phase 1, series 1: 1 slices of 2.5 mm; phase 2, series 3: 8 slices of 2.5 mm; "
        "phase 3, series 4: 8 slices of 2.5 mm; phase 3, series 5: 7 slices of 1 mm"
    )
    assert not {"n_duplicate_slices", "n_missing_slices"} & set(facts)
    facts = inspect_series(folder, SeriesChoice(description=".*PV.*"))
    assert facts["several_series"].startswith("phase 1, series 4: 8 slices of 2.5 mm; phase 1")
    for wrong in ({"number": 9}, {"description": "PV"}, {"phase": 5}):
        facts = inspect_series(folder, SeriesChoice(**wrong))
        assert "series 3: 8 slices" in facts["no_such_series"]
        assert "Doe" not in str(facts)
        with pytest.raises(VolumeError, match="no DICOM file of the series"):
            read_series(folder, SeriesChoice(**wrong))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "name at least one of number, description"),
        ({"phase": 0}, "greater than or equal to 1"),
        ({"description": "("}, "no regular expression"),
        ({"name": "portal"}, "Extra inputs are not permitted"),
    ],
)
def test_a_choice_that_cannot_be_is_told(wrong, told):
    with pytest.raises(ValidationError, match=told):
        SeriesChoice(**wrong)


@given(order=st.permutations(range(2 * N)), numbers=st.permutations(range(2 * N)))
@settings(max_examples=6)
def test_the_order_of_files_decides_nothing(tmp_path_factory, order, numbers):
    folder = tmp_path_factory.mktemp("order")
    made = [*phase(1, AcquisitionNumber=1), *phase(2, AcquisitionNumber=2)]
    save([made[n] for n in order], folder, [f"{n:04d}" for n in numbers])
    read = read_series(folder, SeriesChoice(acquisition=2))
    expected = sitk.GetArrayFromImage(scan_of()) + 200
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), expected)
