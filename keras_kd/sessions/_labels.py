"""Labels out of probabilities: smoothed over time, kept until another is clearly likelier."""

from __future__ import annotations

import numpy as np

from keras_kd.sessions._tracking import longest_gap_between

# A label gives way to one that is likelier by MARGIN for HOLD seconds.
MARGIN, HOLD = 0.1, 0.3


def smoothed(times: np.ndarray, rows: np.ndarray, valid: np.ndarray, window: float) -> np.ndarray:
    """Average rows (T, C) over the valid frames within half a window before and after each.

    Returns:
        float32 (T, C); NaN where no frame is valid for longer than the window, and before the first
        and after the last valid one.
    """
    zeros = np.zeros((1, rows.shape[1]))
    # In float64: an hour of frames added up leaves float32 too few digits for one.
    sums = np.concatenate(
        [zeros, np.cumsum(np.where(valid[:, None], rows, 0), axis=0, dtype=np.float64)]
    )
    counts = np.concatenate([[0], np.cumsum(valid)])
    # A frame exactly half a window away counts, however its time was rounded.
    half = window / 2 + 1e-6
    first, last = (
        np.searchsorted(times, times - half),
        np.searchsorted(times, times + half, side="right"),
    )
    count = (counts[last] - counts[first])[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums[last] - sums[first]) / count
    return np.where(_bridged(times, valid, window)[:, None], means, np.nan).astype(np.float32)


def _bridged(times: np.ndarray, valid: np.ndarray, window: float) -> np.ndarray:
    """Which frames are valid, or stand between valid ones that are no more than a window apart,
    bool (T,): what came before or after a longer gap says nothing of it.
    """
    seen = np.concatenate([[-np.inf], times[valid], [np.inf]])
    before = seen[np.searchsorted(seen, times, side="right") - 1]
    after = seen[np.searchsorted(seen, times)]
    return after - before <= window + 1e-6


def steadied(times: np.ndarray, chances: np.ndarray, confidence: float) -> np.ndarray:
    """Return a label for each frame, int (T,): -1 uncertain, -2 no face.

    A label stays until another is likelier by MARGIN for HOLD seconds, and gives way from where
    that began; after the longest gap without a face it is chosen anew. It is uncertain while its
    own probability lies below `confidence`.
    """
    states = np.full(len(times), -2)
    if not chances.shape[1]:
        return states
    rows = np.flatnonzero(~np.isnan(chances[:, 0]))
    state, rival, since, seen = -1, -1, 0, -np.inf
    gap = longest_gap_between(times)
    for place, row in enumerate(rows):
        top = int(chances[row].argmax())
        if state < 0 or times[row] - seen > gap:
            state, rival = top, -1
        elif top == state or chances[row, top] - chances[row, state] < MARGIN:
            rival = -1
        elif top != rival:
            rival, since = top, place
        seen = times[row]
        states[row] = state
        if rival >= 0 and times[row] - times[rows[since]] >= HOLD - 1e-6:
            state, rival = rival, -1
            states[rows[since : place + 1]] = state
    sure = chances[rows, states[rows]] >= confidence
    states[rows[~sure]] = -1
    return states
