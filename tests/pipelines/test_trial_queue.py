"""The queue of a sweep's trials: trials that killed processes left, and no database."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from keras_kd.errors import ConfigError

optuna = pytest.importorskip("optuna", reason="needs the extra sweep")


def test_a_trial_that_was_taken_but_never_begun_is_queued_again(tmp_path: Path) -> None:
    from keras_kd.pipelines import sweep, trial_queue

    dimensions = sweep.space(["alpha=0.1,0.2"])
    study = sweep._study({}, dimensions, tmp_path, pruning=False)
    trial_queue.fill(study, dimensions, 2, complete=True)
    long_ago = datetime.now() - timedelta(hours=1)
    for begun in (long_ago, datetime.now()):
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, system_attrs={"fixed_params": {"alpha": 0.2}}
        )
        trial.datetime_start = begun
        study.add_trial(trial)
    trial_queue.queue_unbegun(study, dimensions)
    states = [trial.state.name for trial in study.trials]
    assert states == ["WAITING", "WAITING", "FAIL", "RUNNING", "WAITING"]
    assert study.trials[-1].system_attrs["fixed_params"] == {"alpha": 0.2}
    assert study.trials[-1].user_attrs == trial_queue.QUEUED


def test_a_choice_whose_trial_failed_and_was_never_queued_again_is_queued(tmp_path: Path) -> None:
    from keras_kd.pipelines import sweep, trial_queue

    dimensions = sweep.space(["alpha=0.1,0.2"])
    study = sweep._study({}, dimensions, tmp_path, pruning=False)
    trial_queue.fill(study, dimensions, 2, complete=True)
    trial = study.ask(dimensions)
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    for _ in range(2):
        trial_queue.fill(study, dimensions, 2, complete=True)
        waiting = study.get_trials(states=[optuna.trial.TrialState.WAITING])
        assert [trial.system_attrs["fixed_params"] for trial in waiting] == [
            {"alpha": 0.2},
            {"alpha": 0.1},
        ]


def test_a_database_that_can_not_be_opened_is_told(tmp_path: Path) -> None:
    from keras_kd.pipelines import sweep

    for url in (
        "nonsense",
        "nodatabase://host/name",
        f"sqlite:///{tmp_path / 'missing' / 'sweep.db'}",
    ):
        with pytest.raises(
            ConfigError, match="database of the sweep can't be opened .*: check --storage"
        ):
            sweep.sweep({}, sweep.space(["alpha=0.1,0.2"]), tmp_path / "out", storage=url)


def test_what_was_noted_before_any_student_was_trained_binds_none(tmp_path: Path) -> None:
    """Data that changed were refused once, and the same command then began anew."""
    from keras_kd.pipelines import sweep, trial_queue

    dimensions = sweep.space(["alpha=0.1,0.2"])
    study = sweep._study({}, dimensions, tmp_path, pruning=False)
    trial_queue.fill(study, dimensions, 2, complete=True)
    for images in "ab":
        trial_queue.require_beginning(study, {"the images": images}, tmp_path)
    first = study.ask(dimensions)
    trial_queue.require_beginning(study, {"the images": "c"}, tmp_path, own=first.number)
    assert study.user_attrs["the images"] == "c"
    # Another process, which loaded its data before the first trial began.
    second = study.ask(dimensions)
    for own in (None, second.number):
        with pytest.raises(ConfigError, match="began, the images changed"):
            trial_queue.require_beginning(study, {"the images": "b"}, tmp_path, own=own)
    study.tell(second, state=optuna.trial.TrialState.FAIL)
    study.tell(first, state=optuna.trial.TrialState.FAIL)
    # Stopped after an epoch.
    (tmp_path / ".state" / "a").mkdir(parents=True)
    (tmp_path / ".state" / "a" / "state.npz").touch()
    with pytest.raises(ConfigError, match="began, the images changed"):
        trial_queue.require_beginning(study, {"the images": "b"}, tmp_path)
