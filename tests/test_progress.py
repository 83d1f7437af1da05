import io
import re

from coala_kedro import progress as module
from coala_kedro.progress import Bars, progress, told_to


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(title, n_epochs):
    with progress(title, "epoch", n_epochs) as advance:
        for epoch in range(n_epochs):
            advance(epoch + 1)


def test_each_training_has_a_bar_with_the_time_left(monkeypatch):
    monkeypatch.setattr(module, "_SHOW_EVERY_S", 0)
    terminal = Terminal()
    bars = Bars(terminal)
    with told_to(bars.show), progress("teacher lowres fold 0", "epoch", 10, done=4) as advance:
        train("teacher lowres fold 1", 3)
        advance(9)
    drawn = terminal.getvalue()
    assert "teacher lowres fold 1" in drawn
    assert re.search(r"teacher lowres fold 0:  90%\|.*\| 9/10 \[.*<.*epoch", drawn)


def test_a_file_gets_none():
    file = io.StringIO()
    with told_to(Bars(file).show):
        train("teacher lowres fold 0", 3)
    assert not file.getvalue()
