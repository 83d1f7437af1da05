"""The study's pipelines; each has its wiring in `pipeline.py` and its steps in `nodes.py`."""
