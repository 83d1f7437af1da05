"""Segmentations as 3D Slicer writes them, `.seg.nrrd`: by hand, with its storage node's keys."""

import gzip

import numpy as np

_SLICER_KEYS = (
    "Segmentation_ContainedRepresentationNames:=Binary labelmap|\n"
    "Segmentation_MasterRepresentation:=Binary labelmap\n"
)


def write_seg_nrrd(masks, scan, path, *, layers=None, crop=False, old=False):
    """Write masks `{name: array (z, y, x)}` of a scan.

    Args:
        masks: By name, in order of their values.
        scan: LPS, axes along the patient.
        path: Of the file.
        layers: The layer of each segment; by default all lie in one, and the file is 3D.
        crop: To the voxels that are in any of them, as Slicer's option does.
        old: As Slicer wrote it before 4.11: a layer for each segment, no values in the header.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [*masks]
    layers = [*range(len(names))] if old else layers or [0] * len(names)
    voxels = np.zeros((max(layers) + 1, *next(iter(masks.values())).shape), np.uint8)
    # Numbered within their layer.
    values = [1 + layers[:n].count(layer) for n, layer in enumerate(layers)]
    for name, layer, value in zip(names, layers, values, strict=True):
        voxels[layer][masks[name] != 0] = value
    start = np.zeros(3, int)
    if crop:
        inside = np.argwhere(voxels.any(axis=0))
        start, stop = inside.min(axis=0), inside.max(axis=0) + 1
        voxels = voxels[:, *(slice(a, b) for a, b in zip(start, stop, strict=True))]
    origin = np.add(scan.GetOrigin(), np.multiply(start[::-1], scan.GetSpacing()))
    several = len(voxels) > 1
    sizes = [*([len(voxels)] if several else []), *voxels.shape[:0:-1]]
    x, y, z = scan.GetSpacing()
    header = (
        f"NRRD0004\ntype: unsigned char\ndimension: {len(sizes)}\n"
        f"space: left-posterior-superior\nsizes: {' '.join(map(str, sizes))}\n"
        f"space directions: {'none ' if several else ''}({x},0,0) (0,{y},0) (0,0,{z})\n"
        f"kinds: {'list ' if several else ''}domain domain domain\nencoding: gzip\n"
        f"space origin: ({','.join(map(str, origin))})\n{_SLICER_KEYS}"
        f"Segmentation_ReferenceImageExtentOffset:={' '.join(map(str, start[::-1]))}\n"
    )
    for n, (name, layer, value) in enumerate(zip(names, layers, values, strict=True)):
        header += f"Segment{n}_ID:=Segment_{n + 1}\nSegment{n}_Name:={name}\n"
        extent = " ".join(f"0 {length - 1}" for length in voxels.shape[:0:-1])
        header += f"Segment{n}_Extent:={extent}\n"
        if not old:
            header += f"Segment{n}_LabelValue:={value}\nSegment{n}_Layer:={layer}\n"
    data = np.moveaxis(voxels, 0, -1) if several else voxels[0]
    path.write_bytes(header.encode() + b"\n" + gzip.compress(data.tobytes(), 1))
