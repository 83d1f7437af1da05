"""Frames and words to documents for people: the study's page and figures, cards of its models."""
