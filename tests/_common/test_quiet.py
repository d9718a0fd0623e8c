"""Chatter of native libraries is hidden, and nothing else."""

from __future__ import annotations

import os
import threading

from keras_kd._common.quiet import native_output_hidden


def _streams() -> list[tuple[int, int]]:
    return [(found.st_dev, found.st_ino) for found in map(os.fstat, (1, 2))]


def test_two_threads_leave_the_streams_as_they_were():
    """As two detectors that load at a time: nothing was printed for the rest of `analyze`."""
    before, first, second = _streams(), threading.Event(), threading.Event()

    def load() -> None:
        with native_output_hidden():
            second.set()
            assert first.wait(60)

    with native_output_hidden():
        hidden = _streams()
        other = threading.Thread(target=load)
        other.start()
        # It waits until this one is done, so this ends by time where all is well.
        second.wait(0.5)
    first.set()
    other.join(60)
    assert hidden != before and _streams() == before and second.is_set()
