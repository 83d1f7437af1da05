"""Self-trained segmentation of colorectal liver metastases (CRLM) on portal-venous CT."""

__version__ = "0.1.0"
