"""Effects, intervals and tests of a study: against values worked out by hand and by other means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_kd.sessions import _estimates, comparison


def test_hedges_g_of_a_case_worked_out_by_hand():
    first, second = np.array([1.0, 2, 3, 4, 5]), np.array([3.0, 4, 5, 6, 7])
    # Means 3 and 5, both variances 2.5: d = 2 / sqrt(2.5); J = 1 - 3 / (4·8 - 1).
    assert comparison.hedges_g(first, second) == pytest.approx(2 / np.sqrt(2.5) * (1 - 3 / 31))
    assert np.isnan(comparison.hedges_g(np.ones(3), np.ones(3)))
    assert np.isnan(comparison.hedges_g(np.ones(1), np.ones(3)))


def test_intervals_hold_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(0)
    hits, trials = 0, 40
    for trial in range(trials):
        rows = pd.DataFrame(
            {
                "task": "t",
                "group": ["A"] * 40 + ["B"] * 40,
                "participant": range(80),
                "readable": 1.0,
                "x": np.concatenate([generator.normal(0, 1, 40), generator.normal(0.5, 2, 40)]),
            }
        )
        (found,) = comparison.compare(rows, seed=trial).rows
        hits += found.difference.low < 0.5 < found.difference.high
    # 95 % of 40 is 38, standard deviation 1.4.
    assert hits >= 34


def test_the_interval_of_a_mean_is_that_of_the_normal_law_for_many():
    values = np.random.default_rng(1).normal(3, 2, 400)
    rows = pd.DataFrame(
        {"task": "t", "group": "A", "participant": range(400), "readable": 1.0, "x": values}
    )
    (found,) = comparison.compare(rows).rows
    half = 1.96 * values.std(ddof=1) / 20
    assert found.means["A"].value == pytest.approx(values.mean())
    assert (found.means["A"].low, found.means["A"].high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.04
    )
    assert found.difference is None


def test_several_tests_are_corrected_as_holm_says():
    # Holm, 1979: the smallest p times 4, the next times 3 and so on, never less than the one
    # before.
    assert _estimates.holm([0.01, 0.04, np.nan, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True
    )


def test_the_smallest_effect_that_a_study_can_find():
    # Cohen's tables, two-sided 5 %, power 80 %: 17 in each group find d = 1, 26 find 0.8; 10 pairs
    # find 1.
    assert _estimates.smallest_found((17, 17), False) == pytest.approx(1.0, abs=0.02)
    assert _estimates.smallest_found((26, 26), False) == pytest.approx(0.8, abs=0.01)
    assert _estimates.smallest_found((10, 10), True) == pytest.approx(1.0, abs=0.02)
    assert np.isnan(_estimates.smallest_found((1, 5), False))
