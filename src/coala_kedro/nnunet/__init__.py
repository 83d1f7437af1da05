"""The only room that knows nnU-Net: settings, planning, training, the trained model, prediction.

nnU-Net is driven in processes of its own (`process.py`), so its environment variables, its prints
and its memory never touch the rest of the study. Nothing here imports it before such a process
has started.
"""
