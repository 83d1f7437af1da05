"""Organ segmenters: what outlines the twelve organs on a scan.

`TotalSegmentator` runs the tool of that name, `ExistingMasks` reads masks that it, or a hospital,
has made before, of any format. `adapters.py` is the only file that imports totalsegmentator.
"""

import lazy_loader

# Each name is imported when it is first asked for; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
