"""A stand-in for TotalSegmentator, which takes 9 s to import and needs weights."""

import importlib
import shutil
import sys
from pathlib import Path

from lazily import torch
from totalsegmentator import map_tasks_config

from coala_kedro.organs.adapters import MODEL_FILES, MODEL_FOLDERS

MODULES = {
    "torch.py": "class cuda:\n    device_count = lambda: 0\ndef get_num_threads(): return 1\n",
    "xgboost.py": "",
    "totalsegmentator/__init__.py": "",
    "totalsegmentator/bin/__init__.py": "",
    "totalsegmentator/custom_trainers.py": "class nnUNetTrainer: pass\n",
    "totalsegmentator/nnunet.py": "custom_trainers = {}\nclass nnUNetPredictor: pass\n",
}
SEGMENTER = """
import os, shutil, signal, sys, time

def totalsegmentator(scan_file, mask_file, **options):
    {}
"""
PHASE_TOOL = """
def get_ct_contrast_phase(scan_file, device, quiet):
    assert scan_file.is_file()
    totalsegmentator(scan_file, None, ml=True, fast=True)
    {}
"""
COPY = "shutil.copy(scan_file, mask_file)"


def install(folder, monkeypatch, segment=COPY, phase="yield {}"):
    """Let new processes find the stand-in instead of TotalSegmentator.

    Args:
        folder: Where to write it.
        segment: What it does with `scan_file`, `mask_file` and `options`; a line of Python.
        phase: What its phase tool does once the scan is segmented, likewise.
    """
    importlib.import_module("torch")  # looks into weights, and the stand-in would not
    named = MODULES | {
        "totalsegmentator/python_api.py": SEGMENTER.format(segment),
        "totalsegmentator/bin/totalseg_get_phase.py": PHASE_TOOL.format(phase),
    }
    for name, text in named.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(map_tasks_config.__file__, folder / "totalsegmentator")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


def write_weights(folder):
    """Models of no layers, for what looks whether they are there and safe."""
    for model in MODEL_FOLDERS.values():
        for name in MODEL_FILES:
            path = Path(folder, model, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({}, path) if path.suffix == ".pth" else path.touch()
    return str(folder)
