"""A timeline in numbers: the whole session and each task, with how sure their means are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from keras_kd.sessions._options import WHOLE
from keras_kd.sessions._timeline import Spike, Task, Timeline


def summary(timeline: Timeline) -> pd.DataFrame:
    """One row for the whole session and one a task.

    Columns: task, start_s, end_s, seconds, found, valid (shares of the time), share_<class> and
        uncertain (shares of
    the time with a label), p_<class> (means), <value> (means), negative (mean above the baseline)
    with its 95 % interval negative_low and negative_high, spikes and smiles (negative and positive
    moments) and spikes_per_minute and smiles_per_minute of the time that could be read, with
    their 95 % intervals _low and _high. What could not be seen is unknown, NaN, and not 0.
    """
    whole = Task(float(timeline.times[0]), timeline.duration, WHOLE)
    return pd.DataFrame([_summed(timeline, task) for task in (whole, *timeline.options.tasks)])


def _summed(timeline: Timeline, task: Task) -> dict[str, float | str]:
    rows = timeline.within(task)
    weights, labels = timeline.lengths[rows], timeline.labels[rows]
    total, labelled = weights.sum(), weights[labels > -2].sum()

    def share(chosen: np.ndarray, of: float) -> float:
        return float(weights[chosen].sum() / of) if of else float("nan")

    low, high = block_interval(timeline.times[rows], timeline.negative[rows], weights)
    return {
        "task": task.name,
        "start_s": task.start,
        "end_s": task.end,
        "seconds": float(total),
        "found": share(timeline.found[rows], total),
        "valid": share(timeline.valid[rows], total),
        "uncertain": share(labels == -1, labelled),
        **{
            f"share_{name}": share(labels == number, labelled)
            for number, name in enumerate(timeline.class_names)
        },
        **{
            f"p_{name}": _average(timeline.chances[rows, n], weights)
            for n, name in enumerate(timeline.class_names)
        },
        **{name: _average(column[rows], weights) for name, column in timeline.values.items()},
        "negative": _average(timeline.negative[rows], weights),
        "negative_low": low,
        "negative_high": high,
        **_counted(timeline, task, "spikes", timeline.spikes, timeline.negative),
        **_counted(timeline, task, "smiles", timeline.smiles, timeline.positive),
    }


def _counted(
    timeline: Timeline, task: Task, name: str, moments: Sequence[Spike], rise: np.ndarray
) -> dict[str, float]:
    """How many moments begin in a task, and how many a minute of what is known of it; NaN where
    nothing is.
    """
    known = timeline.lengths[timeline.within(task) & ~np.isnan(rise)].sum() / 60
    count = sum(task.start <= moment.start < task.end for moment in moments) if known else np.nan
    low, high = rate_interval(count, known)
    rate = float(count / known) if known else np.nan
    return {
        name: float(count),
        f"{name}_per_minute": rate,
        f"{name}_per_minute_low": low,
        f"{name}_per_minute_high": high,
    }


def rate_interval(count: float, minutes: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a Poisson rate; NaN without time.

    F. Garwood, "Fiducial Limits for the Poisson Distribution", 1936.
    """
    if not minutes:
        return float("nan"), float("nan")
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return float(low / minutes), float(stats.chi2.ppf(0.975, 2 * (count + 1)) / 2 / minutes)


def _average(values: np.ndarray, weights: np.ndarray) -> float:
    known = ~np.isnan(values)
    return (
        float(np.average(values[known], weights=weights[known]))
        if weights[known].sum()
        else float("nan")
    )


def block_interval(
    times: np.ndarray, values: np.ndarray, lengths: np.ndarray, block: float = 5.0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean over time, resampling blocks of `block` seconds.

    Each of the (T,) values counts by its length in seconds, as in the mean: a film's rate may vary.

    Neighbouring frames say nearly the same, so frames can't be resampled singly (H. R. Künsch,
    "The jackknife and the bootstrap for general stationary observations", 1989). NaN with fewer
    than five blocks.
    """
    known = ~np.isnan(values)
    numbers = (times[known] // block).astype(int)
    if len(np.unique(numbers)) < 5:
        return float("nan"), float("nan")
    weighted = pd.DataFrame({"sum": values[known] * lengths[known], "seconds": lengths[known]})
    sums, seconds = weighted.groupby(numbers).sum().to_numpy(np.float64).T
    drawn = np.random.default_rng(0).integers(0, len(sums), (2000, len(sums)))
    means = sums[drawn].sum(axis=1) / seconds[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
