import pytest
from faulty_storage import FaultyStorage

from coala_kedro.sources import DownloadError, SourceError, check_layout, find_volumes


@pytest.fixture(params=["local", "memory"])
def hospital(request, tmp_path, memory):
    """Write empty files, here or elsewhere; gives the hospital's path."""

    def make(*names):
        for name in names:
            if request.param == "memory":
                memory.pipe(f"/hospital/{name}", b"")
            else:
                path = tmp_path / "hospital" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return "memory://hospital" if request.param == "memory" else str(tmp_path / "hospital")

    return make


def places(found, path):
    return {key: volume.location.removeprefix(f"{path}/") for key, volume in found.items()}


@pytest.mark.parametrize(
    ("pattern", "there", "others", "key"),
    [
        ("{scan_id}.nii.gz", "p-1_pre.nii.gz", ["p-1.nii", "old/p-2.nii.gz", ".p-3.nii.gz"],
         "p-1_pre"),
        ("ct_{scan_id}.nrrd", "ct_1.nrrd", ["mr_2.nrrd", "ct_.nrrd", "ct_3xnrrd"], "1"),
        ("{reader}/{scan_id}.nii.gz", "reader_1/s1.nii.gz", ["s2.nii.gz", ".trash/s3.nii.gz"],
         "reader_1/s1"),
        ("{scan_id}/{organ}.nii.gz", "s1/liver.nii.gz", ["s1/statistics.json"], "liver/s1"),
        ("{scan_id}/{scan_id}_ct.nii.gz", "s1/s1_ct.nii.gz", ["s1/s2_ct.nii.gz"], "s1"),
        ("*/scan?/{scan_id}.mha", "a/scan1/s1.mha", ["scan1/s2.mha", "a/scan12/s3.mha"], "s1"),
        ("{patient}/{day}_ct/{reader}.mha", "4711/2020-02-01_ct/ann.mha", ["4711/x/ann.mha"],
         "ann/4711_2020-02-01"),
        ("**/{scan_id}.mha", "a/b/c/s1.mha", ["a/b/c/s1.mhd", "a/.b/s2.mha"], "s1"),
        ("a/**/{scan_id}.mha", "a/s1.mha", ["s2.mha"], "s1"),
        ("{scan_id}/**", "s1/x/y.mha", ["s2.mha"], "s1"),
        ("v[1]/{scan_id}.mha", "v[1]/s1.mha", ["v1/s2.mha"], "s1"),
    ],
)  # fmt: skip
def test_a_pattern_finds_what_fits_it_and_nothing_else(hospital, pattern, there, others, key):
    path = hospital(there, *others)
    assert places(find_volumes(path, pattern), path) == {key: there}


def test_series_are_folders_that_hold_files(hospital):
    path = hospital("s1/study/CT_1/1.dcm", "s1/study/CT_1/2.dcm", "s1/study/SEG_1/1.dcm",
                    "s2/study/CT_9/1.dcm", "s2/study/CT_9/raw/1.dcm", "s3/CT_7/1.dcm",
                    "s4/study/CT_8/.DS_Store", "s5/study/CT_6/low/1.dcm", "DICOMDIR")  # fmt: skip
    found = find_volumes(path, "{scan_id}/*/CT_*", "dicom_series")
    assert places(found, path) == {"s1": "s1/study/CT_1", "s2": "s2/study/CT_9"}
    assert {volume.format for volume in found.values()} == {"dicom_series"}
    assert places(find_volumes(path, "{scan_id}/*/CT_*/", "dicom_series"), path) == {
        "s1": "s1/study/CT_1",
        "s2": "s2/study/CT_9",
    }


def test_files_beside_the_folders_are_no_series(hospital):
    path = hospital("README", "s1/1.dcm")
    assert [*find_volumes(path, "{scan_id}", "dicom_series")] == ["s1"]


def test_one_segmentation_gives_a_mask_for_each_reader(hospital):
    path = hospital("s1/SEG_1/1.dcm", "s2/SEG_5/1.dcm")
    readers = {"b": "B .*", "a": "A .*"}
    found = find_volumes(path, "{scan_id}/SEG_*/*.dcm", "dicom_seg", readers)
    assert [*found] == ["a/s1", "a/s2", "b/s1", "b/s2"]
    assert found["b/s2"].segments == "B .*"
    assert found["b/s2"].location == f"{path}/s2/SEG_5/1.dcm"


def test_values_for_each_reader_make_a_mask_of_each(hospital):
    path = hospital("s1.nii.gz", "s2.nii.gz")
    found = find_volumes(path, "{scan_id}.nii.gz", values={"bob": [2, 3], "ann": 2})
    assert {key: volume.values for key, volume in found.items()} == {
        "ann/s1": (2,), "ann/s2": (2,), "bob/s1": (2, 3), "bob/s2": (2, 3),
    }  # fmt: skip


def test_readers_whom_the_paths_tell_have_values_of_their_own(hospital):
    path = hospital("ann/s1.nii.gz", "bob/s1.nii.gz")
    pattern = "{reader}/{scan_id}.nii.gz"
    found = find_volumes(path, pattern, values={"bob": 255, "ann": 2, "cleo": 1})
    assert {key: volume.values for key, volume in found.items()} == {
        "ann/s1": (2,), "bob/s1": (255,),
    }  # fmt: skip
    with pytest.raises(SourceError, match="tell nothing of bob"):
        find_volumes(path, pattern, values={"ann": 2})


def test_values_and_segments_of_volumes_are_kept(hospital):
    path = hospital("s1.nii.gz", "s1.seg.nrrd")
    assert find_volumes(path, "{scan_id}.nii.gz", values=2)["s1"].values == (2,)
    segments = find_volumes(path, "{scan_id}.seg.nrrd", segments={"ann": "A", "bob": "B"})
    assert {key: volume.segments for key, volume in segments.items()} == {
        "ann/s1": "A", "bob/s1": "B"
    }  # fmt: skip


def test_pseudonyms_are_the_scan_ids_and_nothing_else_is_told(hospital):
    path = hospital("4711/day1/ct.nii", "4711/day2/ct.nii", "4712/day1/ct.nii")
    pattern, pseudonyms = "{patient}/{day}/ct.nii", {"4711_day2": "P001_2", "4712_day1": "P002_1"}
    assert places(find_volumes(path, pattern, pseudonyms=pseudonyms), path) == {
        "P001_2": "4711/day2/ct.nii",
        "P002_1": "4712/day1/ct.nii",
    }
    for wrong in ({"pattern": "{patient}/x/{day}.nii"}, {"pattern": "{patient}/*/ct.nii"}):
        with pytest.raises(SourceError, match=r"has a pseudonym|Two fit") as error:
            find_volumes(path, **wrong, pseudonyms={"4711": "P001"})
        assert "4711" not in str(error.value)


def test_options_reach_every_volume(tmp_path, memory):
    memory.pipe("/hospital/s1.nii", b"")
    (volume,) = find_volumes(
        "memory://hospital/", "{scan_id}.nii", storage_options={"a": 1}, resample=True
    ).values()
    assert volume.location == "memory://hospital/s1.nii"
    assert volume.storage_options == {"a": 1}
    assert volume.resample


def test_a_local_place_is_absolute(tmp_path, monkeypatch):
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "s1.nii").touch()
    monkeypatch.chdir(tmp_path)
    for path in ("ct", "ct/", f"file://{tmp_path}/ct"):
        (volume,) = find_volumes(path, "{scan_id}.nii").values()
        assert volume.location == str(tmp_path / "ct" / "s1.nii")


def test_links_are_followed_but_not_round_and_round(tmp_path):
    (tmp_path / "pacs" / "s1").mkdir(parents=True)
    (tmp_path / "pacs" / "s1" / "ct.nii").touch()
    (tmp_path / "pacs" / "s1" / "back").symlink_to(tmp_path / "pacs")
    (tmp_path / "study").symlink_to(tmp_path / "pacs")
    (tmp_path / "pacs" / "again").symlink_to(tmp_path / "pacs" / "s1")
    assert [*find_volumes(str(tmp_path / "study"), "{scan_id}/**/ct.nii")] == ["again", "s1"]


def test_of_two_for_one_scan_it_is_told_where_they_differ_and_no_name(hospital):
    path = hospital("Mueller/day1/s1.nii.gz", "Mueller/day2/s1.nii.gz")
    with pytest.raises(SourceError, match=r"'s1'.*differ in part 2\. Narrow") as error:
        find_volumes(path, "*/*/{scan_id}.nii.gz")
    assert path in str(error.value)
    assert "Mueller" not in str(error.value)


def test_of_what_does_not_fit_it_is_told_what_it_is_like_and_no_name(hospital):
    path = hospital(*(f"Mueller_{n}/ct.nii" for n in range(8)), "Mueller.txt", "x/Hans.Mueller")
    with pytest.raises(SourceError) as error:
        find_volumes(path, "{scan_id}.nii.gz")
    for told in (path, "'{scan_id}.nii.gz'", "There are: *.txt (1), */* (1), */*.nii (8)."):
        assert told in str(error.value)
    with pytest.raises(SourceError, match=r"No folder with files below .* There are: .*\* \(\d"):
        find_volumes(path, "{scan_id}/*", "dicom_series")
    assert "Mueller" not in str(error.value)


@pytest.mark.parametrize(
    ("pattern", "there", "pseudonyms", "shown"),
    [
        ("{scan_id}.nii.gz", "s1.nii.gz", None, True),
        ("{reader}/{scan_id}.nrrd", "ann/s1.nrrd", None, True),
        ("{scan_id}_*.nii.gz", "s1_Mueller.nii.gz", None, False),
        ("*/{scan_id}.nii.gz", "Mueller/s1.nii.gz", None, False),
        ("{scan_id}.*", "s1.Mueller", None, False),
        ("{scan_id}.nii.gz", "Mueller.nii.gz", {"Mueller": "P001_1"}, False),
    ],
)
def test_a_path_is_shown_only_if_it_is_nothing_but_the_scan(
    hospital, pattern, there, pseudonyms, shown
):
    path = hospital(there)
    (volume,) = find_volumes(path, pattern, pseudonyms=pseudonyms).values()
    assert volume.title == (volume.location if shown else f"{path}/…")
    assert volume.title in repr(volume)
    assert ("Mueller" in repr(volume)) is False


def test_nothing_at_all(tmp_path, memory):
    with pytest.raises(SourceError, match=r"no folder .*/gone.*'\{scan_id\}.nii.gz'"):
        find_volumes(str(tmp_path / "gone"), "{scan_id}.nii.gz")
    for path in (str(tmp_path), "memory://hospital/gone"):
        with pytest.raises(SourceError, match="none at all"):
            find_volumes(path, "{scan_id}.nii.gz")


def test_a_storage_that_cannot_be_listed(faulty, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("Forbidden")

    with monkeypatch.context() as forbidden:
        forbidden.setattr(FaultyStorage, "find", refuse)
        with pytest.raises(DownloadError, match=r"faulty://hospital .*Forbidden.*credentials"):
            find_volumes("faulty://hospital", "{scan_id}.nii.gz")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"pattern": "*.nii.gz"}, r"'\*\.nii\.gz' must have \{scan_id\}"),
        ({"pattern": "{reader}.nii.gz"}, r"must have \{scan_id\}"),
        ({"pattern": "{scan_id}/{reader}/{organ}.nii"}, r"may have \{reader\} or \{organ\}"),
        ({"pattern": "{scan_id.nii"}, "brace"),
        ({"pattern": "scan_id}.nii"}, "brace"),
        ({"pattern": "/data/{scan_id}.nii"}, "below `path`"),
        ({"pattern": "../{scan_id}.nii"}, "below `path`"),
        ({"format": "dicom"}, "'dicom'. Allowed: volume, dicom_series, dicom_seg"),
        ({"format": "dicom_seg"}, "`segments` goes with"),
        ({"segments": "Tumor"}, "`segments` goes with"),
        ({"format": "dicom_seg", "segments": "Tumor("}, r"'Tumor\(' is no regular expression"),
        ({"format": "dicom_seg", "segments": {"a": "*"}}, r"'\*' is no regular expression"),
        ({"format": "dicom_series", "segments": "Tumor"}, "`segments` goes with"),
        ({"format": "dicom_seg", "segments": "Tumor", "values": 2}, "`values` goes with"),
        ({"format": "dicom_series", "values": 2}, "`values` goes with"),
        ({"values": 0}, "from 1 up"),
        ({"values": True}, "from 1 up"),
        ({"values": 2.5}, "from 1 up"),
        ({"values": []}, "from 1 up"),
        ({"values": {}}, "from 1 up"),
        ({"values": {"ann": [2, "tumor"]}}, "Names go under `segments`"),
        (
            {"format": "dicom_seg", "segments": {"a": "A"}, "pattern": "{reader}/{scan_id}"},
            "`segments` for each of a",
        ),
        ({"path": "sftp://me:secret@host/"}, "password"),
        ({"path": "pigeon://host/"}, "pigeon"),
    ],
)
def test_a_layout_that_cannot_be_right(arguments, told):
    right = {"path": "/data", "pattern": "{scan_id}.nii", "format": "volume", "segments": ""}
    check_layout(**right)
    check_layout(**right | {"path": "memory://scans"})
    with pytest.raises(SourceError, match=told) as error:
        check_layout(**right | arguments)
    assert "secret" not in str(error.value)
