"""Kedro datasets of the study: volumes and folders of them, tables, figures, models."""

import lazy_loader

# Each name is imported when it is first asked for; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
