"""Progress bars: on this process' console, or told to the process that has one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from tqdm import tqdm

_TELL_EVERY_S = 0.5


@dataclass
class State:
    """How far a piece of work is.

    Attributes:
        bar: Tells this piece of work from others.
        title: For people.
        unit: What is counted.
        total: Units in all.
        done: Units that are done.
        ended: Whether nothing more will be told.
    """

    bar: str
    title: str
    unit: str
    total: int
    done: int
    ended: bool = False


Tell = Callable[[dict[str, Any]], None]
"""Called with a `State` as plain data."""


@contextmanager
def progress(title: str, unit: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a piece of work's progress until it ends.

    Args:
        title: For people.
        unit: What is counted.
        total: Units in all.
        done: Units that were done earlier.

    Yields:
        A function to call with the units done so far.
    """
    state, tell = State(uuid.uuid4().hex, title, unit, total, done), _teller()
    told = time.monotonic()
    tell(asdict(state))

    def advance(done: int) -> None:
        nonlocal told
        state.done = done
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            tell(asdict(state))

    try:
        yield advance
    finally:
        state.ended = True
        tell(asdict(state))


@contextmanager
def told_to(tell: Tell) -> Iterator[None]:
    """Hand the progress of all work in this context to a function instead of the console."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


class Bars:
    """A bar for each piece of work, with the time left; none where the output is no terminal."""

    def __init__(self, file: TextIO | None = None) -> None:
        """Draw on `file`, by default standard error."""
        self._file = file
        self._bars: dict[str, tqdm] = {}

    def show(self, told: dict[str, Any]) -> None:
        """Draw what was told."""
        state = State(**told)
        if state.bar not in self._bars:
            self._bars[state.bar] = tqdm(
                desc=state.title,
                total=state.total,
                initial=state.done,
                unit=state.unit,
                file=self._file,
                disable=None,
                mininterval=0,
                miniters=1,
                leave=False,
            )
        bar = self._bars[state.bar]
        bar.update(state.done - bar.n)
        if state.ended:
            self._bars.pop(state.bar).close()

    def close(self) -> None:
        """Remove all bars: nothing more will be told."""
        while self._bars:
            self._bars.popitem()[1].close()


_tell: ContextVar[Tell | None] = ContextVar("tell", default=None)
_console = Bars()


def _teller() -> Tell:
    return _tell.get() or _console.show
