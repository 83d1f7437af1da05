"""Readers compared with each other and with the consensus of the others, and models likewise.

Every reader's own outline is part of the study's consensus, so a reader agrees with it better than
a model can. Here a reader is compared with the consensus of the other readers, and a model with
those same consensuses: the figures of both can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd
import SimpleITK as sitk

from coala_kedro.imaging.consensus import staple
from coala_kedro.imaging.geometry import spacing_zyx_mm
from coala_kedro.statistics.lesion_matching import count_lesions
from coala_kedro.statistics.overlap import BoolArray, score_scan

READER, MODEL = "reader", "model"
CONSENSUS_OF_OTHERS = "consensus of the others"
COLUMNS = ("rater", "rater_kind", "reference", "reference_kind")


def score_raters(
    readers: Mapping[str, sitk.Image], models: Mapping[str, BoolArray]
) -> pd.DataFrame:
    """Score all pairs of raters of one scan.

    Args:
        readers: Each reader's mask, on one grid; nonzero is lesion.
        models: Each model's mask on that grid, boolean zyx.

    Returns:
        One row a rater and reference, `COLUMNS` first, then those of `overlap.score_scan` and
        `lesion_matching.count_lesions`. `rater_kind` is `reader` or `model`. `reference_kind` is
        `reader` (named by `reference`) or `consensus of the others`: STAPLE of all readers but the
        one after whom `reference` is named `all but <reader>`, who alone of the readers is compared
        with it; of two readers that is the other one. No rows with fewer than two readers.
    """
    if len(readers) < 2:
        return pd.DataFrame(columns=list(COLUMNS))
    outlined = {name: _array(image) for name, image in readers.items()}
    spacing = spacing_zyx_mm(next(iter(readers.values())))
    rows = []
    for left_out in readers:
        others = {name: image for name, image in readers.items() if name != left_out}
        references = {
            f"all but {left_out}": (CONSENSUS_OF_OTHERS, _array(staple(others).mask)),
            left_out: (READER, outlined[left_out]),
        }
        for reference, (reference_kind, mask) in references.items():
            by_reader = others if reference_kind == READER else {left_out}
            raters = _raters(outlined, by_reader, models)
            for rater, rater_kind, drawn in raters:
                pair = dict(
                    zip(COLUMNS, (rater, rater_kind, reference, reference_kind), strict=True)
                )
                scores = score_scan(mask, drawn, spacing) | count_lesions(mask, drawn)
                rows.append(pair | scores)
    return pd.DataFrame(rows)


def _raters(
    outlined: Mapping[str, BoolArray], readers: Iterable[str], models: Mapping[str, BoolArray]
) -> Iterator[tuple[str, str, BoolArray]]:
    yield from ((reader, READER, outlined[reader]) for reader in readers)
    yield from ((model, MODEL, mask) for model, mask in models.items())


def _array(image: sitk.Image) -> BoolArray:
    return sitk.GetArrayViewFromImage(image) != 0
