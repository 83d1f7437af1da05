"""DICOM files as hospitals have them, made of SimpleITK images."""

import highdicom
import numpy as np
import pydicom
import SimpleITK as sitk
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)


def uid(*names):
    return generate_uid(entropy_srcs=[str(name) for name in names])


def slices_of(image, series="series", slope=1, intercept=-1024, **elements):
    """CT slices of an image in HU, as data sets in memory, in order of the image's z.

    Args:
        image: CT in HU.
        series: Name; equal names make equal UIDs.
        slope: Of the rescale; HU must be multiples of it above the intercept.
        intercept: Of the rescale.
        elements: DICOM keywords and values of every slice; None leaves one out.
    """
    stored = np.rint((sitk.GetArrayFromImage(image) - intercept) / slope).astype(np.int32)
    assert stored.min() >= -32768
    kind = np.int16 if stored.min() < 0 else np.uint16
    made = []
    for z, plane in enumerate(stored):
        slice_ = _empty(uid(series, "slice", z), CTImageStorage)
        values = _identity(series, z) | _grid(image, z) | PIXELS
        values |= {
            "PixelRepresentation": int(kind is np.int16),
            "RescaleSlope": slope,
            "RescaleIntercept": intercept,
        }
        set_elements(slice_, values | elements)
        slice_.PixelData = plane.astype(kind).tobytes()
        made.append(slice_)
    return made


PIXELS = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
}


def _identity(series, z):
    return {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": uid(series, "slice", z),
        "StudyInstanceUID": uid(series, "study"),
        "SeriesInstanceUID": uid(series, "series"),
        "FrameOfReferenceUID": uid(series, "frame"),
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientID": "P1",
        "PatientName": "Nobody^Here",
        "PatientBirthDate": "",
        "PatientSex": "F",
        "StudyDate": "20200102",
        "StudyTime": "101112",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "SeriesNumber": 1,
        "InstanceNumber": z + 1,
        "PositionReferenceIndicator": "",
        "Manufacturer": "Maker",
        "ManufacturerModelName": "Model 1",
    }


def _grid(image, z):
    columns, rows, _ = image.GetSize()
    x_mm, y_mm, z_mm = image.GetSpacing()
    cosines = np.reshape(image.GetDirection(), (3, 3))
    return {
        "SliceThickness": z_mm,
        "Rows": rows,
        "Columns": columns,
        "PixelSpacing": [y_mm, x_mm],
        "ImageOrientationPatient": [*cosines[:, 0], *cosines[:, 1]],
        "ImagePositionPatient": list(image.TransformIndexToPhysicalPoint((0, 0, z))),
    }


def set_elements(dataset, elements):
    """Set DICOM elements by keyword; None deletes one."""
    for keyword, value in elements.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        elif keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
            setattr(
                dataset, keyword, [pydicom.valuerep.DSfloat(v, auto_format=True) for v in value]
            )
        else:
            setattr(dataset, keyword, value)


def _empty(instance, sop_class):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)


def save(datasets, folder, names=None):
    """Write data sets as `0000.dcm`, ... in their order, or by the names given."""
    folder.mkdir(parents=True, exist_ok=True)
    names = names or [f"{n:04d}.dcm" for n in range(len(datasets))]
    for name, dataset in zip(names, datasets, strict=True):
        dataset.save_as(folder / name, enforce_file_format=True)


def write_series(image, folder, **options):
    """Write an image as a series; see `slices_of`."""
    made = slices_of(image, **options)
    save(made, folder)
    return made


def write_seg(masks, slices, path, omit_empty_frames=True, kind=SegmentationTypeValues.BINARY):
    """Write masks by label as one segmentation on the grid of a series.

    Args:
        masks: Arrays (z, y, x), nonzero inside, by label.
        slices: Data sets of the series, in the order of z.
        path: The file.
        omit_empty_frames: As most programs do.
        kind: Binary or fractional.
    """
    stack = np.stack([np.asarray(mask) != 0 for mask in masks.values()], axis=-1)
    fractional = kind is SegmentationTypeValues.FRACTIONAL
    descriptions = [
        SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(masks, start=1)
    ]
    segmentation = highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=stack.astype(np.float32 if fractional else np.uint8),
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=uid(path, "series"),
        series_number=2,
        sop_instance_uid=uid(path, "instance"),
        instance_number=1,
        manufacturer="Maker",
        manufacturer_model_name="Outliner",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=omit_empty_frames,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    segmentation.save_as(path)


def write_rtstruct(regions, slices, path, kind="CLOSED_PLANAR"):
    """Write contours by region as one RT structure set of a series.

    Args:
        regions: Contours (N, 3; xyz, LPS, mm), by name of the region.
        slices: Data sets of the series.
        path: The file.
        kind: ContourGeometricType.
    """
    made = _empty(uid(path, "instance"), RTStructureSetStorage)
    first = slices[0]
    identity = _identity("planning", 0) | {
        "SOPClassUID": RTStructureSetStorage,
        "SOPInstanceUID": uid(path, "instance"),
        "Modality": "RTSTRUCT",
        "FrameOfReferenceUID": None,
        "ImageType": None,
    }
    set_elements(made, identity)
    images = [_of(ReferencedSOPInstanceUID=s.SOPInstanceUID) for s in slices]
    series = _of(SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=images)
    study = _of(RTReferencedSeriesSequence=[series])
    made.ReferencedFrameOfReferenceSequence = [
        _of(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    ]
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions.items(), start=1):
        made.StructureSetROISequence.append(
            _of(
                ROINumber=number,
                ROIName=name,
                ReferencedFrameOfReferenceUID=first.FrameOfReferenceUID,
            )
        )
        stored = [
            _of(
                ContourGeometricType=kind,
                NumberOfContourPoints=len(points),
                # 16 characters for a number, as the standard has it.
                ContourData=[f"{value:.9g}" for point in points for value in point],
            )
            for points in contours
        ]
        made.ROIContourSequence.append(_of(ReferencedROINumber=number, ContourSequence=stored))
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)


def _of(**elements):
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made
