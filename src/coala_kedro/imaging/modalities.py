"""Modalities of DICOM objects."""

from __future__ import annotations

_MODALITIES = frozenset(
    """
    ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC
    HD IO IOL IVOCT IVUS KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA
    PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN
    RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XC XAPROTOCOL
    """.split()  # noqa: SIM905
)
"""Defined terms of Modality (PS3.3 C.7.3.1.1.1)."""


def modality_name(text: str) -> str:
    """The DICOM modality, or `unknown` for any other text that a header holds.

    Args:
        text: Value of the header's `Modality`.
    """
    return text if text in _MODALITIES else "unknown"
