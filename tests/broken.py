"""Ways in which a hospital's files are wrong."""

import shutil

import nibabel
import numpy as np
import pandas as pd
import SimpleITK as sitk
from broken_files import UNTRUSTED
from broken_headers import HEADERS
from broken_tables import TABLES
from hospital import LIVER, READERS, truncate, write
from slicer_writer import write_seg_nrrd


def rewrite(path, change=None, **grid):
    """Write a volume again with other voxels or another grid."""
    read = sitk.ReadImage(str(path))
    voxels = sitk.GetArrayFromImage(read)
    made = sitk.GetImageFromArray(voxels if change is None else change(voxels))
    made.SetSpacing(grid.get("spacing_mm", read.GetSpacing()))
    made.SetOrigin(grid.get("origin_mm", read.GetOrigin()))
    made.SetDirection(grid.get("direction", read.GetDirection()))
    sitk.WriteImage(made, str(path))


def spoiled_scan(change=None, **grid):
    return lambda hospital: rewrite(hospital.scan("a_pre"), change, **grid)


def spoiled_mask(change=None, **grid):
    return lambda hospital: rewrite(hospital.mask("reader_2", "a_pre"), change, **grid)


def spoiled_organs(change=None, **grid):
    return lambda hospital: rewrite(hospital.organs("a_pre"), change, **grid)


def a_whole_cohort_at(spacing_mm):
    """The scan, its masks and organs, all with other voxels."""

    def spoil(hospital):
        for path in hospital.root.rglob("a_pre.nii.gz"):
            rewrite(path, spacing_mm=spacing_mm)

    return spoil


def only_slices(n):
    def spoil(hospital):
        for path in hospital.root.rglob("a_pre.nii.gz"):
            rewrite(path, lambda voxels: voxels[4 : 4 + n])

    return spoil


def with_voxels(value):
    def change(voxels):
        spoiled = voxels.astype(np.float32)
        spoiled[2, 3, 4:6] = value
        return spoiled

    return change


def shear(hospital):
    read = nibabel.load(hospital.scan("a_pre"))
    affine = read.affine.copy()
    affine[1, 2] = 1.0
    nibabel.save(
        nibabel.Nifti1Image(read.get_fdata().astype(np.int16), affine), hospital.scan("a_pre")
    )


def as_series(hospital):
    read = hospital.read(hospital.scan("a_pre"))
    write(sitk.JoinSeries([read, read]), hospital.scan("a_pre"))


def as_colour(hospital):
    read = hospital.read(hospital.scan("a_pre"))
    grey = sitk.Cast(read, sitk.sitkUInt8)
    write(sitk.Compose(grey, grey, grey), hospital.scan("a_pre"))


def as_mask_in_colour(hospital):
    read = hospital.read(hospital.mask("reader_2", "a_pre"))
    write(sitk.Compose(read, read, read), hospital.mask("reader_2", "a_pre"))


def uncompressed_and_cut(hospital):
    path = hospital.scan("a_pre")
    plain = path.with_suffix("")
    write(hospital.read(path), plain)
    path.unlink()
    truncate(plain)
    hospital.scan_entry["pattern"] = "{scan_id}.nii*"


def flip(hospital):
    """What reading a NIfTI without its header does: right is left."""
    for path in hospital.root.rglob("a_pre.nii.gz"):
        rewrite(path, lambda voxels: voxels[:, :, ::-1])


def move_lesions(voxels):
    moved = np.zeros_like(voxels)
    moved[5:8, 45:55, 85:95] = 1
    return moved


def lesions_elsewhere(hospital):
    for reader in READERS:
        rewrite(hospital.mask(reader, "a_pre"), move_lesions)


def no_masks(hospital):
    for reader in READERS:
        hospital.mask(reader, "a_pre").unlink()


def same_scan_twice(hospital):
    shutil.copy(hospital.scan("b_pre"), hospital.scan("a_pre"))


def stray(hospital):
    shutil.copy(hospital.scan("b_pre"), hospital.scan("stray"))


def roles(*given):
    return lambda hospital: hospital.table.update(pd.DataFrame({"role": given}))


def dates(*given):
    return lambda hospital: hospital.table.update(pd.DataFrame({"acquired_on": given}))


def only_slice_6(voxels):
    return voxels * (np.indices(voxels.shape)[0] == 6)


def as_label_files(hospital, suffix=".nii.gz"):
    """Every mask as MSD, LiTS and nnU-Net have it: 1 is the liver, 2 the tumours in it."""
    for scan_id in hospital.table["scan_id"]:
        organs = sitk.GetArrayFromImage(hospital.read(hospital.organs(scan_id)))
        for reader in READERS:
            path = hospital.mask(reader, scan_id)
            lesions = sitk.GetArrayFromImage(hospital.read(path))
            labels = np.where(lesions == 1, 2, organs == LIVER).astype(np.uint8)
            made = sitk.GetImageFromArray(labels)
            made.CopyInformation(hospital.read(path))
            path.unlink()
            write(made, path.with_name(scan_id + suffix))
    hospital.mask_entry |= {"pattern": "{reader}/{scan_id}" + suffix, "values": 2}


def as_slicer_files(hospital, names=("Liver", "Tumor"), **options):
    """Every mask as 3D Slicer has it, with the liver."""
    for scan_id in hospital.table["scan_id"]:
        organs = sitk.GetArrayFromImage(hospital.read(hospital.organs(scan_id)))
        for reader in READERS:
            path = hospital.mask(reader, scan_id)
            lesions = hospital.read(path)
            masks = dict(
                zip(names, (organs == LIVER, sitk.GetArrayFromImage(lesions)), strict=True)
            )
            path.unlink()
            write_seg_nrrd(masks, lesions, path.with_name(f"{scan_id}.seg.nrrd"), **options)
    hospital.mask_entry |= {"pattern": "{reader}/{scan_id}.seg.nrrd", "segments": "Tumor"}


def after(spoil, *steps):
    """Spoil a hospital that was made another one first."""

    def spoil_it(hospital):
        for step in (spoil, *steps):
            step(hospital)

    return spoil_it


def slicer_file(hospital):
    return hospital.root / "readers" / "reader_2" / "a_pre.seg.nrrd"


def renamed_segment(hospital):
    path = slicer_file(hospital)
    path.write_bytes(path.read_bytes().replace(b"Name:=Tumor", b"Name:=Segment_2"))


def moved_segments(hospital):
    path = slicer_file(hospital)
    path.write_bytes(path.read_bytes().replace(b"space origin: (0", b"space origin: (1"))


def without_its_tumours(voxels):
    return voxels.clip(0, 1)


def negative(voxels):
    return voxels.astype(np.int16) - 1


def spoiled_label_file(change=None, **grid):
    return after(as_label_files, spoiled_mask(change, **grid))


def cut_segmentation(hospital):
    truncate(slicer_file(hospital))


BROKEN = {
    "no file": (lambda h: h.scan("a_pre").unlink(), "no_file"),
    "gzip cut off": (lambda h: truncate(h.scan("a_pre")), "unreadable"),
    "NIfTI cut off": (uncompressed_and_cut, "unreadable"),
    "text": (lambda h: h.scan("a_pre").write_text("not a volume"), "unreadable"),
    "empty file": (lambda h: h.scan("a_pre").write_bytes(b""), "unreadable"),
    "sheared": (shear, "sheared"),
    "4D": (as_series, "not_3d"),
    "colour": (as_colour, "several_values_a_voxel"),
    "NaN": (spoiled_scan(with_voxels(np.nan)), "nonfinite_voxels"),
    "infinite": (spoiled_scan(with_voxels(np.inf)), "nonfinite_voxels"),
    "no rescale": (spoiled_scan(lambda voxels: voxels + 1024), "no_air"),
    "scaled to one": (spoiled_scan(lambda voxels: voxels.astype(np.float32) / 1000 + 1), "no_air"),
    "rescaled twice": (spoiled_scan(lambda voxels: voxels - 1024), "no_soft_tissue"),
    "few slices": (only_slices(8), "few_slices", "short"),
    "in cm": (a_whole_cohort_at((0.2, 0.2, 0.5)), "fine_spacing", "small_field_of_view", "short"),
    "coarse": (a_whole_cohort_at((2.5, 2.5, 5.0)), "coarse_spacing"),
    "thin slices": (a_whole_cohort_at((2.0, 2.0, 0.25)), "thin_slices", "short"),
    "thick slices": (a_whole_cohort_at((2.0, 2.0, 12.0)), "thick_slices"),
    "narrow": (a_whole_cohort_at((1.5, 1.5, 5.0)), "small_field_of_view"),
    "wide": (a_whole_cohort_at((7.0, 7.0, 5.0)), "coarse_spacing", "large_field_of_view"),
    "a reader without a mask": (lambda h: h.mask("reader_2", "a_pre").unlink(), "mask_absent"),
    "no reader": (no_masks, "no_reader"),
    "mask cut off": (lambda h: truncate(h.mask("reader_2", "a_pre")), "mask_unreadable"),
    "mask of another size": (spoiled_mask(lambda voxels: voxels[:, 1:]), "mask_grid"),
    "mask of another spacing": (spoiled_mask(spacing_mm=(2.0, 2.0, 4.0)), "mask_grid"),
    "mask elsewhere": (spoiled_mask(origin_mm=(0, 0, 40)), "mask_grid"),
    "mask turned": (spoiled_mask(direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1)), "mask_grid"),
    "mask of 255": (spoiled_mask(lambda voxels: voxels * 255), "mask_values"),
    "mask of halves": (spoiled_mask(lambda voxels: voxels * np.float32(0.5)), "mask_values"),
    "mask of NaN": (spoiled_mask(with_voxels(np.nan)), "mask_unreadable"),
    "negative mask": (spoiled_mask(lambda voxels: -voxels.astype(np.int16)), "mask_values"),
    "mask in colour": (as_mask_in_colour, "mask_values"),
    "empty mask": (spoiled_mask(lambda voxels: voxels * 0), "mask_empty"),
    "no organ mask": (lambda h: h.organs("a_pre").unlink(), "organ_mask_absent"),
    "organ mask cut off": (lambda h: truncate(h.organs("a_pre")), "organ_mask_unreadable"),
    "organ mask elsewhere": (spoiled_organs(origin_mm=(1, 0, 0)), "organ_mask_grid"),
    "organ mask of halves": (spoiled_organs(lambda voxels: voxels * 0.5), "organ_mask_values"),
    "no liver": (spoiled_organs(lambda voxels: voxels * (voxels != LIVER)), "no_liver"),
    "small liver": (spoiled_organs(only_slice_6), "no_liver"),
    "lesions elsewhere": (lesions_elsewhere, "crlm_outside_liver"),
    "left is right": (flip, "left_right_flip"),
    "one scan twice": (same_scan_twice, "same_voxels"),
    "trained on and tested": (roles("manual", "test", "test"), "patient_in_training_and_test"),
    "post before pre": (dates("2020-02-01", "2020-05-01", "2020-03-01"), "post_before_pre"),
    **HEADERS,
    **TABLES,
}  # fmt: skip
"""Ways to spoil the scan `a_pre`, and the codes that must be told; nothing else may be."""

BROKEN |= {
    "label file without tumours": (spoiled_label_file(without_its_tumours), "mask_empty"),
    "label file of halves": (spoiled_label_file(lambda v: v * np.float32(0.75)), "mask_values"),
    "label file with negative labels": (spoiled_label_file(negative), "mask_values"),
    "label file elsewhere": (spoiled_label_file(origin_mm=(0, 0, 40)), "mask_grid"),
    "liver and tumour, no value told": (spoiled_mask(lambda voxels: voxels + 1), "mask_values"),
    "only tumour, no value told": (spoiled_mask(lambda voxels: voxels * 2), "mask_values"),
    "segment of another name": (after(as_slicer_files, renamed_segment), "no_segment"),
    "segments elsewhere": (after(as_slicer_files, moved_segments), "mask_grid"),
    "segmentation cut off": (after(as_slicer_files, cut_segmentation), "mask_unreadable"),
}
# Which voxels are the lesion.

BROKEN |= UNTRUSTED
