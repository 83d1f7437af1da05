"""A hospital's volumes, in any format and place: finding and reading them.

Nothing outside this room needs to know whether a scan is a NIfTI file, a folder of DICOM files or
an object in a bucket.
"""

import lazy_loader

# Each name is imported when it is first asked for; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
