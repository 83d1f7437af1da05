"""What the study asks of a model that segments scans, whatever kind of model it is.

A model comes in by its catalog entry. Pipelines, scoring and pictures know this room alone; what
is behind a model, such as a folder of nnU-Net's, is the business of the room that makes it.
"""
