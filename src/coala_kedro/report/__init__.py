"""The study's report: frames and words to one page of HTML that needs no network."""

from coala_kedro.report.page import Section, render

__all__ = ["Section", "render"]
