"""Warnings of libraries that quote headers, and so at times a patient's name."""

from __future__ import annotations

import threading
import warnings
from contextlib import AbstractContextManager, ExitStack


class _Silence:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters.enter_context(warnings.catch_warnings(action="ignore"))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.close()


_SILENCE = _Silence()


def no_warnings() -> AbstractContextManager[None]:
    """Silence the warnings of all threads within the block.

    `warnings.catch_warnings` alone is one thread's: where several come and go, the first to leave
    brings the warnings back for those who are still reading, and the last leaves them off for ever.
    """
    return _SILENCE
