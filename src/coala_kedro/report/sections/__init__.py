"""The parts of the report, each from the study's frames to a section of the page."""
