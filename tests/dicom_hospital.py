"""A hospital that brings DICOM series and segmentations."""

import shutil

from dicom_writer import save, slices_of, write_seg
from hospital import READERS, Hospital, abdomen, image, write


class DicomHospital(Hospital):
    """A series and a segmentation of both readers per scan; organ masks are NIfTI."""

    def __init__(self, root, scan_ids=("a_post", "a_pre", "b_pre")):
        super().__init__(root)
        self.table = self.table[self.table["scan_id"].isin(scan_ids)].reset_index(drop=True)
        self.scan_entry = {
            "path": str(root), "pattern": "{scan_id}/ct", "format": "dicom_series"}  # fmt: skip
        self.mask_entry = {
            "path": str(root), "pattern": "{scan_id}/seg.dcm", "format": "dicom_seg",
            "segments": {reader: f"{reader} tumou?r.*" for reader in READERS},
        }  # fmt: skip

    def build(self):
        for seed, scan_id in enumerate(self.table["scan_id"]):
            hu, organs, crlm = abdomen(seed)
            write(image(organs), self.organs(scan_id))
            series = slices_of(image(hu), series=scan_id, **self.day_of(scan_id))
            save(series, self.root / scan_id / "ct")
            labels = [f"{reader} tumour 1" for reader in READERS]
            write_seg(dict.fromkeys(labels, crlm), series, self.seg(scan_id))
        return self

    def series(self, scan_id="a_pre"):
        hu, _, _ = abdomen(list(self.table["scan_id"]).index(scan_id))
        return slices_of(image(hu), series=scan_id, **self.day_of(scan_id))

    def day_of(self, scan_id):
        (day,) = self.table.loc[self.table["scan_id"] == scan_id, "acquired_on"]
        return {"StudyDate": day.replace("-", "")}

    def replace(self, slices, scan_id="a_pre"):
        shutil.rmtree(self.root / scan_id / "ct")
        save(slices, self.root / scan_id / "ct")

    def slice(self, number, scan_id="a_pre"):
        return self.root / scan_id / "ct" / f"{number:04d}.dcm"

    def seg(self, scan_id):
        return self.root / scan_id / "seg.dcm"
