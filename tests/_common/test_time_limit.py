"""Work that doesn't end by itself is ended, and nothing is raised into what comes after it."""

from __future__ import annotations

import threading
import time

import pytest

from keras_kd._common.time_limit import limited
from keras_kd.errors import ModelError


def _endless() -> None:
    with limited(0.1, ModelError("too long")):
        while True:
            try:
                sum(range(100))
            except Exception:  # as Keras takes what its layers raise
                continue


def test_endless_work_is_ended() -> None:
    with pytest.raises(ModelError, match="too long"):
        _endless()


def test_it_is_ended_in_other_threads_too() -> None:
    found: list[str] = []

    def work() -> None:
        try:
            _endless()
        except ModelError as error:
            found.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert found == ["too long"]


def _busy(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


class _Finalized:
    def __del__(self) -> None:
        _busy(0.5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_end_that_a_finalizer_has_dropped_comes_again() -> None:
    with pytest.raises(ModelError, match="too long"), limited(0.1, ModelError("too long")):
        _Finalized()
        _busy(20)


def test_work_that_ends_in_time_is_left_alone() -> None:
    for seconds in (0.01, 0.02, 0.05):
        with limited(seconds, ModelError("too long")):
            pass
    with pytest.raises(KeyError), limited(0.05, ModelError("too long")):
        raise KeyError
    _busy(0.2)
