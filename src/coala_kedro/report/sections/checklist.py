"""CLAIM, item by item."""

from __future__ import annotations

from coala_kedro.report.cells import prose
from coala_kedro.report.material import Material
from coala_kedro.report.page import Section
from coala_kedro.report.sections.methods import cite
from coala_kedro.report.tables import whole_table

_HEADINGS = {
    "item": "", "section": "section", "topic": "what is asked", "answered": "answered",
    "answer": "answer",
}  # fmt: skip


def checklist(material: Material) -> Section:
    """The checklist for AI in medical imaging."""
    return Section(
        "CLAIM 2024 checklist",
        [
            prose(
                "The checklist for AI in medical imaging{}, answered where the software can. What "
                "only the authors of a study know is marked as theirs.",
                cite("claim"),
            ),
            whole_table(material["claim_checklist"], _HEADINGS, "The items in their order."),
        ],
        short="CLAIM checklist",
    )
