"""From rows to labels, tasks and moments: against values worked out by hand or by other means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn_timeline import mostly, write

from keras_kd.sessions import _labels, _timeline
from keras_kd.sessions._summary import block_interval, rate_interval, summary
from keras_kd.sessions._timeline import Options, Task


def test_smoothing_is_the_mean_of_the_valid_frames_in_the_window():
    generator = np.random.default_rng(0)
    times = np.cumsum(generator.uniform(0.01, 0.2, 200))
    rows, valid = generator.random((200, 2)), generator.random(200) > 0.4
    found, seen = _labels.smoothed(times, rows, valid, 0.5), times[valid]
    for row, time in enumerate(times):
        near = valid & (np.abs(times - time) <= 0.25)
        before, after = seen[seen <= time], seen[seen >= time]
        known = len(before) and len(after) and after[0] - before[-1] <= 0.5
        np.testing.assert_allclose(
            found[row], rows[near].mean(axis=0) if known else [np.nan] * 2, rtol=1e-5
        )


@pytest.mark.parametrize("kind", ["angry", "happy"])
def test_moments_begin_and_end_with_the_step_that_makes_them(kind, tmp_path):
    # A step by h, averaged over w seconds, crosses the threshold s at w (s / h - 1/2) behind it.
    late = 0.5 * (_timeline.SPIKE / 0.7 - 0.5)
    nobody = [np.full(3, np.nan)] * 200
    rest, risen = mostly("neutral", 2, 100), mostly(kind, 2, 100)
    for chances, start, end in (
        ([*rest, *risen, *rest], 2 + late, 4 - late),
        # Of a face that comes and goes with the step, nothing is known before and after.
        ([*rest, *nobody, *risen, *nobody], 4, 6),
    ):
        path = write(tmp_path / "a.csv", chances, 100)
        timeline = _timeline.load(path, Options(0.5, baseline=1.5))
        (moment,) = timeline.moments
        assert [moment.start, moment.end] == pytest.approx([start, end], abs=0.011)
        (found,) = [one for one in timeline.intervals if one.label == kind]
        assert [found.start, found.end] == pytest.approx([round(start), round(end)], abs=0.06)


def test_a_label_stays_until_another_is_clearly_likelier_for_long_enough():
    times = np.arange(0, 6, 0.1)
    chances = np.tile([0.2, 0.2, 0.6], (60, 1))
    chances[10:12] = [0.2, 0.7, 0.1]  # 0.2 s: too short
    chances[20:30] = [0.1, 0.48, 0.42]  # too close
    chances[40:] = [0.1, 0.8, 0.1]
    labels = _labels.steadied(times, chances, 0.4)
    assert (labels[:10] == 2).all()
    # A rival that isn't believed leaves the label, whose own probability is low: uncertain, never
    # "happy".
    assert set(labels[10:12]) == {-1} and set(labels[12:40]) == {2}
    assert (labels[40:] == 1).all()
    chances[43:] = [0.2, 0.2, 0.6]
    assert 1 not in _labels.steadied(times, chances, 0.4)


def test_after_a_long_absence_the_label_is_chosen_anew():
    times = np.arange(0, 4, 0.1)
    chances = np.tile([0.1, 0.1, 0.8], (40, 1))
    chances[10:25] = np.nan
    chances[25:] = [0.1, 0.8, 0.1]
    labels = _labels.steadied(times, chances, 0.5)
    assert set(labels[10:25]) == {-2} and set(labels[25:]) == {1}


def test_shares_times_and_changes_add_up(tmp_path):
    chances = [*mostly("neutral", 10), *mostly("happy", 10), *mostly("angry", 20)]
    tasks = (Task(0, 10, "rest"), Task(10, 20, "find"), Task(20, 40, "pay"))
    timeline = _timeline.load(
        write(tmp_path / "a.csv", chances), Options(0.0, 0.5, "rest", (), tasks)
    )
    table = summary(timeline).set_index("task")
    assert table.loc["whole session", "seconds"] == pytest.approx(40)
    assert table.loc["find", "share_happy"] == 1
    assert table.loc["whole session", "share_angry"] == pytest.approx(0.5)
    assert table.loc["pay", "p_angry"] == pytest.approx(0.8)
    # 0.8 angry against 0.1 at rest; neutral and happy are not negative.
    assert table.loc["pay", "negative"] == pytest.approx(0.7)
    assert table.loc["whole session", "negative"] == pytest.approx(0.35)
    assert table.loc[["rest", "find", "pay"], "spikes"].tolist() == [0, 0, 1]
    (spike,) = timeline.spikes
    assert spike.start == pytest.approx(20) and spike.end == pytest.approx(40)
    assert spike.label == "angry" and spike.task == "pay" and spike.height == pytest.approx(0.7)
    assert [interval.label for interval in timeline.intervals] == ["neutral", "happy", "angry"]
    assert timeline.intervals[-1].end == pytest.approx(40) and timeline.intervals[
        -1
    ].chance == pytest.approx(0.8)


def test_short_negative_moments_are_no_spikes(tmp_path):
    chances = [*mostly("neutral", 5), *mostly("angry", 0.4), *mostly("neutral", 5)]
    assert not _timeline.load(write(tmp_path / "a.csv", chances), Options(0.0)).spikes


def test_unreadable_frames_count_for_nothing(tmp_path):
    nobody = [np.full(3, np.nan)] * 50
    timeline = _timeline.load(
        write(tmp_path / "a.csv", [*mostly("happy", 5), *nobody]), Options(0.0, baseline=2)
    )
    whole = summary(timeline).iloc[0]
    assert whole["found"] == whole["valid"] == pytest.approx(0.5)
    assert whole["share_happy"] == 1 and whole["p_happy"] == pytest.approx(0.8)
    blurred = _timeline.load(
        write(tmp_path / "b.csv", mostly("happy", 5), quality=0.3), Options(0.0)
    )
    whole = summary(blurred).iloc[0]
    assert whole["found"] == 1 and whole["valid"] == 0 and np.isnan(whole["share_happy"])
    assert (
        np.isnan(blurred.baseline).all() and np.isnan(blurred.negative).all() and not blurred.spikes
    )


def test_values_are_averaged_by_name(tmp_path):
    values = {"valence": np.linspace(-1, 1, 100), "arousal": np.full(100, 0.5)}
    timeline = _timeline.load(
        write(tmp_path / "a.csv", mostly("happy", 10), values=values), Options()
    )
    whole = summary(timeline).iloc[0]
    assert list(timeline.values) == ["valence", "arousal"]
    assert whole["valence"] == pytest.approx(0, abs=1e-6) and whole["arousal"] == pytest.approx(0.5)


def test_the_largest_face_counts_unless_another_is_named(tmp_path):
    path = write(tmp_path / "a.csv", mostly("happy", 2))
    other = pd.read_csv(write(tmp_path / "b.csv", mostly("angry", 2), face=2))
    other["box"] = "200.0 10.0 40.0 40.0"
    both = pd.concat([other, pd.read_csv(path)]).sort_values("frame", kind="stable")
    both.to_csv(path, index=False)
    for faces, name in (((), "happy"), ((1,), "happy"), ((2,), "angry")):
        timeline = _timeline.load(path, Options(0.0, faces=faces))
        assert [interval.label for interval in timeline.intervals] == [name]
        assert len(timeline.times) == 20
    assert _timeline.load(path, Options(faces=(9,))).found.sum() == 0


def test_a_face_that_nobody_has_and_several_faces_are_told(tmp_path):
    path = write(tmp_path / "a.csv", mostly("neutral", 3))
    (told,) = _timeline.load(path, Options(faces=(7, 8))).doubtful_faces
    assert "No frame has the face 7 or 8: the faces followed are 1 (30 frames)" in told
    assert not _timeline.load(path, Options(faces=(7, 1))).doubtful_faces
    assert not _timeline.load(path, Options()).doubtful_faces
    other = pd.read_csv(write(tmp_path / "b.csv", mostly("happy", 2), face=2))
    pd.concat([pd.read_csv(path), other]).sort_values("frame").to_csv(path, index=False)
    (told,) = _timeline.load(path, Options()).doubtful_faces
    assert "faces were followed, 1 (30 frames), 2 (20 frames): of each frame the largest" in told
    assert not _timeline.load(path, Options(faces=(2,))).doubtful_faces


def test_the_interval_of_a_mean_over_time_minds_that_neighbours_are_alike():
    generator = np.random.default_rng(3)
    blocks, length = 400, 50
    levels = generator.normal(0.2, 0.1, blocks)
    values = np.repeat(levels, length) + generator.normal(0, 0.01, blocks * length)
    times = np.arange(blocks * length) / 10
    lengths = np.full(len(times), 0.1)
    low, high = block_interval(times, values, lengths)
    # The mean's standard error is that of 400 independent blocks, not of 20,000 frames.
    assert high - low == pytest.approx(2 * 1.96 * levels.std() / np.sqrt(blocks), rel=0.1)
    assert low < values.mean() < high
    assert np.isnan(block_interval(times[:200], values[:200], lengths[:200])).all()


@pytest.mark.parametrize("baseline", [10.0, "median"])
def test_a_film_of_varying_rate_has_the_numbers_of_one_of_constant_rate(baseline, tmp_path):
    # As screen recorders write: many frames where something moves, few where nothing does.
    even = np.arange(0, 90, 1 / 30)
    lively = even // 3 % 3 == 0
    frames = np.arange(len(even))
    varying = lively | (frames % 15 == 0)
    chances = np.where(lively[:, None], [0.7, 0.0, 0.3], [0.1, 0.0, 0.9])
    options = Options(0.0, baseline=baseline)
    constant, sparse = (
        _timeline.load(write(tmp_path / f"{n}.csv", chances[rows], times=even[rows]), options)
        for n, rows in enumerate((frames, varying))
    )
    assert sparse.baseline == pytest.approx(constant.baseline, abs=0.01)
    expected, found = (summary(one).iloc[0] for one in (constant, sparse))
    for name in ("negative", "negative_low", "negative_high", "share_angry", "p_angry"):
        assert found[name] == pytest.approx(expected[name], abs=0.02), name
    assert found["negative_low"] < found["negative"] < found["negative_high"]


def test_a_hole_in_the_video_ends_what_was_seen_before_it(tmp_path):
    path = write(
        tmp_path / "a.csv", [*mostly("neutral", 20), *mostly("angry", 0.2), *mostly("angry", 10)]
    )
    rows = pd.read_csv(path)
    # A minute is missing after the second angry frame.
    rows.loc[rows.index >= 202, "time_s"] += 60
    rows.to_csv(path, index=False)
    timeline = _timeline.load(path, Options(0.0))
    spans = [(interval.label, interval.start, interval.end) for interval in timeline.intervals]
    assert spans == [
        ("neutral", 0, pytest.approx(20)),
        # A label must hold for longer to be believed.
        ("uncertain", pytest.approx(20), pytest.approx(20.2)),
        ("angry", pytest.approx(80.2), pytest.approx(90.2)),
    ]
    assert [(spike.start, spike.end) for spike in timeline.spikes] == [
        (pytest.approx(80.2), pytest.approx(90.2))
    ]


def test_a_recording_of_few_frames_lasts_as_long_as_it_does(tmp_path):
    timeline = _timeline.load(
        write(tmp_path / "a.csv", mostly("happy", 60, 0.5), rate=0.5), Options(0.0)
    )
    assert summary(timeline).iloc[0]["seconds"] == pytest.approx(60)
    assert [interval.label for interval in timeline.intervals] == ["happy"]


def test_turns_that_nobody_measured_are_unknown(tmp_path):
    path = write(tmp_path / "a.csv", mostly("happy", 2))
    rows = pd.read_csv(path)
    rows["turn"] = np.nan
    rows.to_csv(path, index=False)
    assert np.isnan(_timeline.load(path, Options()).quality["turned"])


def test_the_interval_of_a_rate_is_garwood_s(tmp_path):
    # The usual table of exact Poisson limits: 0 has 0 to 3.689, 1 has 0.0253 to 5.572.
    assert rate_interval(0, 1.0) == pytest.approx((0, 3.689), abs=1e-3)
    assert rate_interval(1, 2.0) == pytest.approx((0.0253 / 2, 5.572 / 2), abs=1e-3)
    assert rate_interval(10, 1.0) == pytest.approx((4.795, 18.39), abs=1e-2)
    assert np.isnan(rate_interval(0, 0.0)).all()
    chances = [*mostly("neutral", 30), *mostly("angry", 30)]
    whole = summary(_timeline.load(write(tmp_path / "a.csv", chances), Options(0.0))).iloc[0]
    assert whole["spikes_per_minute"] == pytest.approx(1)
    assert whole["spikes_per_minute_high"] == pytest.approx(5.572, abs=1e-2)


def test_what_could_not_be_seen_is_unknown_and_not_zero(tmp_path):
    chances = [*mostly("neutral", 30), *mostly("angry", 30), *[np.full(3, np.nan)] * 600]
    tasks = (Task(0, 60, "seen"), Task(60, 120, "unseen"), Task(30, 120, "half"))
    timeline = _timeline.load(write(tmp_path / "a.csv", chances), Options(0.0, tasks=tasks))
    table = summary(timeline).set_index("task")
    assert table.loc["seen", "spikes"] == 1 and table.loc[
        "seen", "spikes_per_minute"
    ] == pytest.approx(1)
    assert np.isnan(
        table.loc["unseen", ["spikes", "spikes_per_minute", "negative", "share_angry"]].astype(
            float
        )
    ).all()
    # One moment in the half minute of the minute and a half that could be read.
    assert table.loc["half", "spikes_per_minute"] == pytest.approx(2)
    nobody = _timeline.load(write(tmp_path / "b.csv", [np.full(3, np.nan)] * 50), Options())
    assert np.isnan(summary(nobody).iloc[0]["spikes"])


@pytest.mark.parametrize(
    ("chances", "baseline", "word"),
    [
        (mostly("neutral", 40), 10.0, None),
        (mostly("neutral", 40), 500.0, "is the whole recording"),
        (mostly("neutral", 10), 10.0, "is the whole recording"),
        ([*mostly("angry", 10), *mostly("neutral", 30)], 10.0, "mostly angry"),
        ([*mostly("angry", 10), *mostly("neutral", 30)], "median", None),
        ([*mostly("angry", 10), *mostly("neutral", 30)], "find", None),
        ([*[np.full(3, np.nan)] * 80, *mostly("neutral", 32)], 10.0, "Only 20%"),
        ([*[np.full(3, np.nan)] * 100, *mostly("neutral", 30)], 10.0, "no readable face"),
    ],
)
def test_a_baseline_that_shows_no_rest_is_doubted(tmp_path, chances, baseline, word):
    options = Options(0.0, baseline=baseline, tasks=(Task(20, 30, "find"),))
    doubts = _timeline.load(write(tmp_path / "a.csv", chances), options).doubts
    assert (word is None and not doubts) or (word in doubts[0] and "--baseline" in doubts[0])


def test_the_median_of_the_session_can_be_the_baseline(tmp_path):
    chances = [*mostly("angry", 10), *mostly("neutral", 30)]
    timeline = _timeline.load(write(tmp_path / "a.csv", chances), Options(0.0, baseline="median"))
    assert timeline.baseline == pytest.approx([0.1, 0.1, 0.8])
    assert [(spike.start, round(spike.height, 4)) for spike in timeline.spikes] == [(0, 0.7)]


def test_positive_moments_and_peaks_are_told_as_negative_ones(tmp_path):
    chances = [
        *mostly("neutral", 20),
        *mostly("happy", 5),
        *mostly("neutral", 5),
        *mostly("angry", 3),
    ]
    chances[230] = [0.0, 0.95, 0.05]
    timeline = _timeline.load(write(tmp_path / "a.csv", chances), Options(0.0))
    ((smile,), (frown,)) = timeline.smiles, timeline.spikes
    assert (smile.kind, smile.label, frown.kind, frown.label) == (
        "positive",
        "happy",
        "negative",
        "angry",
    )
    assert (smile.start, smile.peak, smile.end) == pytest.approx((20, 23, 25))
    assert smile.height == pytest.approx(0.85) and frown.height == pytest.approx(0.7)
    whole = summary(timeline).iloc[0]
    assert whole["smiles"] == 1 and whole["smiles_per_minute"] == pytest.approx(60 / 33)
