"""Means, differences and effect sizes with bootstrap intervals, tests, and what a study of this
size can find.

Hedges' g: L. V. Hedges, "Distribution theory for Glass's estimator of effect size and related
estimators", 1981, equations 1, 4 and 6 (the approximate correction). Of pairs the mean of both
standard deviations divides: d_av of D. Lakens, "Calculating and reporting effect sizes to
facilitate cumulative science", 2013, equation 10, with the same correction. Several tests: S. Holm,
"A simple sequentially rejective multiple test procedure", 1979.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

RESAMPLES = 5000
# What a study should find, and how often: the usual 5 % and 80 %.
LEVEL, POWER = 0.05, 0.8
# Decimals of differences: ranks would take for one what is rounding alone.
ROUNDING = 9


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; NaN where unknown."""

    value: float
    low: float
    high: float


def estimate(
    samples: Sequence[np.ndarray], statistic: Callable[..., Any], seed: int, paired: bool = False
) -> Estimate:
    """Return a statistic and its percentile bootstrap interval, which needs two participants of
    each group.

    Args:
        samples: float (N,) a group; of pairs both in the same order.
        statistic: takes the samples and an axis.
        seed: of the resampling.
        paired: resample pairs, not each group.
    """
    if not min(map(len, samples)):
        return Estimate(math.nan, math.nan, math.nan)
    value = float(statistic(*samples))
    if min(map(len, samples)) < 2:
        return Estimate(value, math.nan, math.nan)
    if all(np.ptp(sample) == 0 for sample in samples):
        return Estimate(value, value, value)
    with warnings.catch_warnings():
        # SciPy warns about resamples without spread, which are left out below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        made = stats.bootstrap(
            samples,
            _defined(statistic),
            n_resamples=RESAMPLES,
            method="percentile",
            rng=seed,
            vectorized=True,
            paired=paired,
        )
    # A resample of equal participants in each group has no spread to measure an effect by.
    drawn = made.bootstrap_distribution[~np.isnan(made.bootstrap_distribution)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (math.nan, math.nan)
    return Estimate(value, float(low), float(high))


def _defined(statistic: Callable[..., Any]) -> Callable[..., Any]:
    """The statistic, and 0 where it is unknown because nobody differs from anybody: left out, such
    resamples would move the interval of a rare event's effect away from 0.
    """

    def resampled(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
        found = np.asarray(statistic(*samples, axis=axis))
        if len(samples) != 2:
            return found
        same = np.abs(difference(*samples, axis=axis)) < 10.0**-ROUNDING
        return np.where(np.isnan(found) & same, 0.0, found)

    return resampled


def difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean of the second minus that of the first."""
    return second.mean(axis=axis) - first.mean(axis=axis)


def hedges_g(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return (mean of the second - mean of the first) / pooled standard deviation · (1 - 3 / (4 ·
    (n - 2) - 1)).

    n counts both groups. NaN where nobody differs within the groups, or one has fewer than two.
    """
    sizes = first.shape[axis], second.shape[axis]
    freedom = sum(sizes) - 2
    if min(sizes) < 2:
        return np.full_like(first.mean(axis=axis), np.nan)
    squares = sum(
        ((part - part.mean(axis=axis, keepdims=True)) ** 2).sum(axis=axis)
        for part in (first, second)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        g = (
            difference(first, second, axis)
            / np.sqrt(squares / freedom)
            * (1 - 3 / (4 * freedom - 1))
        )
    # Equal values leave a spread that is rounding alone.
    return np.where(squares > 1e-20, g, np.nan)


def paired_g(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean difference of n pairs / mean of both standard deviations
    · (1 - 3 / (4 · (n - 1) - 1)).
    """
    pairs = first.shape[axis]
    if pairs < 2:
        return np.full_like(first.mean(axis=axis), np.nan)
    spread = (first.std(axis=axis, ddof=1) + second.std(axis=axis, ddof=1)) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        g = difference(first, second, axis) / spread * (1 - 3 / (4 * (pairs - 1) - 1))
    return np.where(spread > 1e-6, g, np.nan)


def chance(first: np.ndarray, second: np.ndarray, paired: bool) -> float:
    """Return p by Wilcoxon's signed ranks for pairs, else by Mann and Whitney's U; NaN where no
    test is possible.
    """
    if min(len(first), len(second)) < 2:
        return math.nan
    if not paired:
        return float(stats.mannwhitneyu(first, second).pvalue)
    gains = np.round(second - first, ROUNDING)
    return float(stats.wilcoxon(gains).pvalue) if gains.any() else 1.0


def holm(chances: Sequence[float]) -> list[float]:
    """Correct p values for their number; NaN stays and isn't counted."""
    known = [number for number, p in enumerate(chances) if not math.isnan(p)]
    corrected, highest = list(chances), 0.0
    for place, number in enumerate(sorted(known, key=lambda number: chances[number])):
        # Without the running maximum a larger p could end below a smaller one.
        highest = max(highest, min(1.0, (len(known) - place) * chances[number]))
        corrected[number] = highest
    return corrected


def smallest_found(counts: Sequence[int], paired: bool) -> float:
    """Return the effect that a t test at 5 % finds in 80 % of studies of this size.

    Of pairs in standard deviations of their differences, else of the groups; NaN with fewer than
    two participants. Rank tests find slightly less.
    """
    if min(counts) < 2:
        return math.nan
    freedom = counts[0] - 1 if paired else sum(counts) - 2
    scale = math.sqrt(counts[0]) if paired else 1 / math.sqrt(sum(1 / count for count in counts))
    # A squared noncentral t is a noncentral F.
    limit = stats.f.ppf(1 - LEVEL, 1, freedom)

    def missing(effect: float) -> float:
        return float(stats.ncf.sf(limit, 1, freedom, (effect * scale) ** 2)) - POWER

    enough = 1.0
    # brentq needs both ends: next to 0 the power is 5 %, and doubling finds one above 80 %.
    while missing(enough) < 0:
        enough *= 2
    return float(optimize.brentq(missing, 1e-3, enough))
