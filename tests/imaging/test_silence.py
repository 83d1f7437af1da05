import threading
import warnings

import pytest

from coala_kedro.imaging.silence import no_warnings

WHO = "Quxfather"


def test_a_thread_that_leaves_brings_no_warning_back_for_those_who_stay():
    inside, left = threading.Barrier(2), threading.Event()

    def first():
        with no_warnings():
            inside.wait(10)
        left.set()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        other = threading.Thread(target=first)
        other.start()
        with no_warnings():
            inside.wait(10)
            assert left.wait(10)
            warnings.warn(f"Invalid value: '{WHO}'", stacklevel=1)
        other.join()
        assert told == []
        assert warnings.filters == before
        warnings.warn("heard again", stacklevel=1)
    assert [str(warning.message) for warning in told] == ["heard again"]


def test_an_error_passes_and_warnings_come_back():
    with pytest.raises(KeyError), no_warnings():
        raise KeyError
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)
