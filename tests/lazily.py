"""Modules that take seconds to import, for tests of which few processes need them."""

import importlib


class Module:
    """A module that is imported when it is first used."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        if attribute.startswith("__"):  # pytest asks everything for `__test__`
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)


torch = Module("torch")
mlflow = Module("mlflow")
