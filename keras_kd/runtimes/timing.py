"""Times of short runs on a machine that does other things, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

_TURN, _WARM_UP = 20, 3  # runs in a turn, and before them


def medians(runs: Sequence[Callable[[], object] | None], seconds: float) -> list[float | None]:
    """Time runs in turns, so that other load affects all equally.

    Args:
        runs: each computes in the calling thread; None for what can't run.
        seconds: of timing altogether.

    Returns:
        For each run the median over its turns of the milliseconds that the processor gave this
        thread for it; None for None.
    """
    taken: list[list[float]] = [[] for _ in runs]
    end, over = time.perf_counter() + seconds, False
    while not over:
        for run, times in zip(runs, taken, strict=True):
            if run is not None:
                times.append(_turn(run))
        over = time.perf_counter() >= end
    return [float(np.median(times)) * 1e3 if times else None for times in taken]


def _turn(run: Callable[[], object]) -> float:
    for _ in range(_WARM_UP):
        run()
    start = time.thread_time()
    for _ in range(_TURN):
        run()
    return (time.thread_time() - start) / _TURN
