"""Progress bars: on this process' console, or shown by the process that has one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO, TypedDict

from tqdm import tqdm

_SHOW_EVERY_S = 0.5


class State(TypedDict):
    """How far a piece of work is.

    Attributes:
        bar: Tells this piece of work from others.
        title: For people.
        unit: What is counted.
        total: Units in all.
        done: Units that are done.
        ended: Whether this is the last of it.
    """

    bar: str
    title: str
    unit: str
    total: int
    done: int
    ended: bool


Show = Callable[[State], None]


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
    state = State(bar=uuid.uuid4().hex, title=title, unit=unit, total=total, done=done, ended=False)
    show = _show.get() or _console.show
    shown = time.monotonic()
    show(state.copy())

    def advance(done: int) -> None:
        nonlocal shown
        state["done"] = done
        if time.monotonic() - shown >= _SHOW_EVERY_S:
            shown = time.monotonic()
            show(state.copy())

    try:
        yield advance
    finally:
        show(State(**state | {"ended": True}))


@contextmanager
def told_to(show: Show) -> Iterator[None]:
    """Hand the progress of all work in this context to a function instead of the console.

    Args:
        show: It is called now and then, and at the end of each piece of work.
    """
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)


class Bars:
    """A bar for each piece of work, with the time left; none where the output is no terminal."""

    def __init__(self, file: TextIO | None = None) -> None:
        """Draw on `file`, by default standard error."""
        self._file = file
        self._bars: dict[str, tqdm] = {}

    def show(self, state: State) -> None:
        """Draw how far a piece of work is.

        Args:
            state: Title, unit, total and number done of the work.
        """
        if state["bar"] not in self._bars:
            self._bars[state["bar"]] = tqdm(
                desc=state["title"],
                total=state["total"],
                initial=state["done"],
                unit=state["unit"],
                file=self._file,
                disable=None,
                mininterval=0,
                miniters=1,
                leave=False,
            )
        bar = self._bars[state["bar"]]
        bar.update(state["done"] - bar.n)
        if state["ended"]:
            self._bars.pop(state["bar"]).close()

    def close(self) -> None:
        """Remove all bars: nothing more will be told."""
        while self._bars:
            self._bars.popitem()[1].close()


_show: ContextVar[Show | None] = ContextVar("show", default=None)
_console = Bars()
