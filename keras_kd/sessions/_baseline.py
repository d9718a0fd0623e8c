"""The baseline: what a face shows at rest, and whether it was at rest and seen then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_kd.datasets.class_names import canonical
from keras_kd.errors import DataError
from keras_kd.sessions import LEAST_READABLE
from keras_kd.sessions._options import MEDIAN, Options


def is_median(options: Options) -> bool:
    """Whether the session's median is the baseline; a task of that name goes before."""
    return options.baseline == MEDIAN and MEDIAN not in {task.name for task in options.tasks}


def at_rest(times: np.ndarray, options: Options) -> np.ndarray:
    """Return whether each time lies in the baseline, (T,) bool.

    Raises:
        DataError: no task has the baseline's name.
    """
    if not isinstance(options.baseline, str):
        return times < options.baseline
    if is_median(options):
        return np.ones(len(times), bool)
    spans = [task for task in options.tasks if task.name == options.baseline]
    if not spans:
        names = ", ".join(task.name for task in options.tasks) or "none"
        raise DataError(
            f"The baseline {options.baseline!r} is neither a time nor a task: the tasks of the"
            f" segments are {names}."
        )
    return np.any([(times >= task.start) & (times < task.end) for task in spans], axis=0)


def level(
    rows: np.ndarray, chosen: np.ndarray, lengths: np.ndarray, options: Options
) -> np.ndarray:
    """Return the mean, or the median, over the time of the chosen rows of (T, C), which last
    `lengths` seconds: (C,), NaN without one.
    """
    if not chosen.any():
        return np.full(rows.shape[1], np.nan, np.float32)
    weights = lengths[chosen]
    if is_median(options):
        return np.quantile(rows[chosen], 0.5, axis=0, weights=weights, method="inverted_cdf")
    return np.average(rows[chosen], axis=0, weights=weights)


def described(options: Options) -> str:
    """Return when the baseline was taken, in words."""
    if is_median(options):
        return "the median of the session"
    if isinstance(options.baseline, str):
        return f"the task {options.baseline}"
    return f"the first {options.baseline:g} s"


def doubts(
    options: Options,
    class_names: Sequence[str],
    baseline: np.ndarray,
    readable: float,
    rest: np.ndarray,
) -> list[str]:
    """Return why the baseline may not show a face at rest, a sentence each.

    Args:
        options: of the timeline.
        class_names: of the baseline's values.
        baseline: (C,) probabilities; NaN where no face was readable.
        readable: share of the baseline's time that could be read, 0..1; NaN without any.
        rest: as `at_rest` returns it.
    """
    when, remedy = (
        described(options),
        "name a task at rest by --baseline TASK, or take --baseline median",
    )
    if not len(baseline) or np.isnan(baseline[0]):
        return [
            f"There was no readable face in the baseline ({when}): changes against it are unknown;"
            f" {remedy}."
        ]
    found = []
    if rest.all() and not is_median(options):
        found.append(
            f"The baseline ({when}) is the whole recording, so changes against it are 0 on average:"
            f" {remedy}."
        )
    if readable < LEAST_READABLE:
        found.append(f"Only {readable:.0%} of the baseline ({when}) could be read: {remedy}.")
    names = [canonical(name) for name in class_names]
    top = int(np.argmax(baseline))
    if "neutral" in names and names[top] != "neutral":
        neutral = baseline[names.index("neutral")]
        found.append(
            f"In the baseline ({when}) the face showed mostly {class_names[top]}"
            f" ({baseline[top]:.0%}; neutral {neutral:.0%}): changes against it may be none;"
            f" {remedy}."
        )
    return found
