"""Monitors of trainings; in a module of its own name, for they go to other processes."""

import contextlib


@contextlib.contextmanager
def nobody_listens(folder):
    """A monitor that reports to nobody."""
    yield lambda epoch, figures: None
