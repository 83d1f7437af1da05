"""Ways in which a hospital's DICOM files are wrong."""

import shutil

import numpy as np
import pydicom
from dicom_writer import save, set_elements, slices_of, uid, write_rtstruct, write_seg
from hospital import READERS, abdomen, image

SCANS = ("a_pre", "b_pre")
CRLM_BOX = [(24.5, 44.5), (34.5, 44.5), (34.5, 54.5), (24.5, 54.5)]
"""`abdomen`'s lesion in its slices 5 to 7: corners as column, row."""


def folder(hospital):
    return hospital.root / "a_pre" / "ct"


def renamed(made, name, **elements):
    """The same slices as instances of their own, with other elements."""
    for n, slice_ in enumerate(made):
        slice_.file_meta.MediaStorageSOPInstanceUID = uid(name, n)
        set_elements(slice_, {"SOPInstanceUID": uid(name, n)} | elements)
    return made


def phases(*elements, step=1):
    def spoil(hospital):
        made = [
            slice_
            for n, each in enumerate(elements)
            for slice_ in renamed(noisy(hospital.series(), n), f"phase {n}", **each)[::step]
        ]
        hospital.replace(made)

    return spoil


def noisy(made, n):
    """Other voxels, as another phase has them."""
    for slice_ in made:
        pixels = np.frombuffer(slice_.PixelData, np.uint16)
        slice_.PixelData = (pixels + 7 * n).astype(np.uint16).tobytes()
    return made


def add(*others):
    """Put other series into the scan's folder."""
    return lambda h: save(
        [s for made in others for s in made(h)], folder(h), [
            f"other_{n}" for n in range(sum(len(made(h)) for made in others))
        ],
    )  # fmt: skip


def one_more(hospital, name="extra", n=1, **elements):
    hu, _, _ = abdomen(3)
    made = slices_of(image(hu), series=name)[:n]
    return renamed(made, name, **{"SeriesInstanceUID": uid(name)} | elements)


def write_bytes(name, content):
    return lambda h: (folder(h) / name).write_bytes(content)


def drawn_on(**elements):
    """Outlines of another series than the scan's."""

    def spoil(hospital):
        crlm, made = abdomen(0)[2], renamed(hospital.series(), "another", **elements)
        labels = [f"{reader} tumour 1" for reader in READERS]
        write_seg(dict.fromkeys(labels, crlm), made, hospital.seg("a_pre"))

    return spoil


def seg_with(change):
    def spoil(hospital):
        path = hospital.seg("a_pre")
        made = pydicom.dcmread(path)
        change(made)
        made.save_as(path)

    return spoil


def shift_frames(by_mm):
    def change(made):
        for frame in made.PerFrameFunctionalGroupsSequence:
            x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
            frame.PlanePositionSequence[0].ImagePositionPatient = [x, y, z + by_mm]

    return change


def without_positions(made):
    for frame in made.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence


def structures(regions=None, grid=None, frame_of=None, **options):
    """Outlines as a structure set of both readers, `R1` and `R2`."""

    def bring(hospital):
        for scan_id in SCANS:
            made = hospital.series(scan_id)
            scan = image(abdomen(0)[0])
            corners = [
                [scan.TransformContinuousIndexToPhysicalPoint((*xy, float(z))) for xy in CRLM_BOX]
                for z in (grid or (5, 6, 7))
            ]
            names = regions or [f"{reader} GTV" for reader in READERS]
            written = dict.fromkeys(names, corners)
            spoilt = scan_id == "a_pre"
            if spoilt and frame_of:
                made = one_more(hospital, frame_of, 13)
            path = hospital.root / scan_id / "rs.dcm"
            if not spoilt:
                corners[:] = [
                    [scan.TransformContinuousIndexToPhysicalPoint((*xy, float(z)))
                     for xy in CRLM_BOX] for z in (5, 6, 7)
                ]  # fmt: skip
                written = {f"{reader} GTV": corners for reader in READERS}
            write_rtstruct(written, made, path, **(options if spoilt else {}))
        hospital.mask_entry |= {
            "pattern": "{scan_id}/rs.dcm", "format": "rtstruct",
            "segments": {reader: f"{reader} GTV" for reader in READERS},
        }  # fmt: skip

    return bring


def interleaved(hospital):
    """Every second acquisition half a gap further up."""
    for n, path in enumerate(sorted(folder(hospital).iterdir())):
        made = pydicom.dcmread(path)
        x, y, z = made.ImagePositionPatient
        set_elements(made, {"ImagePositionPatient": [x, y, z + 2.5 * (n >= 13)]})
        made.save_as(path)


def choosing(**series):
    def bring(hospital):
        hospital.scan_entry["series"] = series

    return bring


def both(*steps):
    return lambda hospital: [step(hospital) for step in steps]


SAME_FRAME = {"SeriesInstanceUID": uid("another")}
OTHER_FRAME = SAME_FRAME | {"FrameOfReferenceUID": uid("another frame")}
CUT = b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00"

BROKEN = {
    "two phases by number": (
        phases({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}), "several_acquisitions"),
    "two phases by time": (
        phases({"AcquisitionTime": "100000"}, {"AcquisitionTime": "100500"}),
        "several_acquisitions"),
    "three phases": (
        phases(*({"TemporalPositionIdentifier": n} for n in range(3))), "several_acquisitions"),
    "two kernels": (
        phases({"ConvolutionKernel": "B70"}, {"ConvolutionKernel": "I30"}),
        "several_acquisitions"),
    "two phases that nothing tells apart": (phases({}, {}), "overlapping_slices"),
    "a phase between the other's slices": (
        both(phases({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}), interleaved),
        "several_acquisitions"),
    "two kernels at heights of their own": (
        both(phases({"ConvolutionKernel": "B70"}, {"ConvolutionKernel": "I30"}), interleaved),
        "several_acquisitions"),
    "a copy of each slice": (
        lambda h: [shutil.copy(p, p.with_name(f"{p.name} (1)")) for p in folder(h).iterdir()],
        "duplicate_slices"),
    "a phase that is not there": (
        both(phases({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}), choosing(acquisition=7)),
        "no_such_series"),
    "a series that is not there": (choosing(number=7), "no_such_series"),
    "a description that fits two": (
        both(add(lambda h: one_more(h, n=13, SeriesDescription="PV")),
             choosing(image_type="ORIGINAL.*")), "several_series"),
    "two whole series": (add(lambda h: one_more(h, n=13)), "several_series"),
    "a zeroed slice": (lambda h: h.slice(12).write_bytes(bytes(9000)), "damaged_files"),
    "an empty slice": (lambda h: h.slice(13).touch(), "damaged_files"),
    "a copy that was interrupted": (write_bytes("IM0001.part", CUT), "damaged_files"),
    "drawn on another frame": (drawn_on(**OTHER_FRAME), "mask_frame", "mask_frame"),
    "frames between slices": (seg_with(shift_frames(2.5)), "mask_grid", "mask_grid"),
    "frames beside the scan": (seg_with(shift_frames(500.0)), "mask_grid", "mask_grid"),
    "frames without a place": (seg_with(without_positions), "mask_unreadable", "mask_unreadable"),
    "structures of another frame": (structures(frame_of="far"), "mask_frame", "mask_frame"),
    "structures between slices": (structures(grid=(5.5, 6.5)), "mask_grid", "mask_grid"),
    "structures on every second slice": (structures(grid=(3, 5, 7)), "mask_grid", "mask_grid"),
    "structures by another name": (
        structures(regions=["Liver", "Doe^Jane"]), "no_segment", "no_segment"),
    "open structures": (structures(kind="OPEN_PLANAR"), "mask_unreadable", "mask_unreadable"),
    "no structures": (
        both(structures(), lambda h: (h.root / "a_pre" / "rs.dcm").write_bytes(b"?")),
        "mask_unreadable", "mask_unreadable"),
}  # fmt: skip
"""Ways to spoil the scan `a_pre`, and the codes that must be told; nothing else may be."""
