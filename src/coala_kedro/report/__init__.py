"""Frames and words to documents for people: the study's page, and a card for each model."""

from coala_kedro.report.card import model_card
from coala_kedro.report.page import Section, render

__all__ = ["Section", "model_card", "render"]
