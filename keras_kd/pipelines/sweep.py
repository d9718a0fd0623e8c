"""Many students with different options, each trained as by `kerakd distill`. Optuna chooses the
options and stores the trials in SQLite.

Every choice is made on the validation images; the test images are not used. All trials share one
teacher and, if they have the same views, one store of soft labels. Several processes may work on
one sweep, see keras_kd.pipelines.trial_queue.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from keras_kd import config as configuration
from keras_kd._common import run_files, text
from keras_kd._common.arrays import fingerprint
from keras_kd._common.files import locked, none_left_empty, write_text
from keras_kd._common.progress import Terminal
from keras_kd.errors import ConfigError, KerasKDError, TrainingError
from keras_kd.pipelines import run_folder, trial_queue
from keras_kd.pipelines.apart_from_data import require_outside
from keras_kd.pipelines.sweep_space import PAPER, space
from keras_kd.pipelines.trial_queue import load_optuna
from keras_kd.pipelines.trials import Trials, planned
from keras_kd.reports.sweep_picture import sweep_picture
from keras_kd.training import scores

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

__all__ = ["PAPER", "TRIALS", "best", "rows", "space", "sweep"]

TRIALS = 20
# Every process reads the whole queue before each trial.
MOST_TRIALS = 10_000
_NOTES = {"complete": "", "pruned": "stopped early"}


def sweep(
    options: Mapping[str, Any],
    dimensions: dict[str, BaseDistribution],
    out: str | Path,
    trials: int | None = None,
    pruning: bool = True,
    terminal: Terminal | None = None,
    storage: str | None = None,
) -> pd.DataFrame:
    """Train a student for each choice of options; continue a sweep that was stopped, or join one
    that is running.

    All combinations of choices are tried, in order. With a range, Optuna's tree-structured Parzen
    estimator searches for the best value. Every process with the same arguments takes trials from
    the same queue and returns when all are done.

    Args:
        options: options that all trials share, by name.
        dimensions: see `space`.
        out: folder for sweep.db (Optuna's), trials.csv, best.toml and sweep.png.
        trials: number of trials in all, including earlier ones; None for every combination, or 20
            with a range.
        pruning: stop a student whose best epoch is below the median of the others' at the same
            epoch; never before a third of its epochs, nor the first 4 students.
        terminal: where the user sees progress; None for nowhere.
        storage: URL of a database as Optuna takes it, for processes on several hosts; None for
            sweep.db.

    Returns:
        One row for each trial: number, the options, validation (the best epoch's score; None if it
            failed), epochs (trained_epochs where the option epochs is varied), state, error.

    Raises:
        ConfigError: `out` or the database holds a sweep with other options, or these contradict
            each other or make a teacher fail that all trials have.
        DataError: the data can't be read.
        OutputError: the operating system refuses to write there, or the data's images lie there.
    """
    terminal, out = terminal or Terminal(quiet=True), Path(out)
    # Before the study, which would stand in the way of a sweep with other options.
    require_outside(out, planned(options).data.path)
    choices = [trial_queue.choices(distribution) for distribution in dimensions.values()]
    every = math.prod(map(len, choices)) if all(choices) else None
    total = min(trials or every, every) if every else trials or TRIALS
    if total > MOST_TRIALS:
        raise ConfigError(
            f"A sweep has at most {MOST_TRIALS:,} trials. Received: {total:,}. Give --trials, or"
            " vary fewer values."
        )
    with trial_queue.refusals(out / trial_queue.STUDY), none_left_empty(out):
        with locked(out, terminal.say):
            study = _study(options, dimensions, out, pruning, storage)
            trial_queue.fill(study, dimensions, total, complete=every is not None)
        try:
            _work_off(study, options, dimensions, out, total, every is not None, terminal)
        except KerasKDError:
            with locked(out, terminal.say):
                _forget_unbegun(study, out)
            raise
        shutil.rmtree(out / run_files.STATE, ignore_errors=True)
        with locked(out, terminal.say):
            return _write(study, options, dimensions, out)


def _work_off(
    study: optuna.Study,
    options: Mapping[str, Any],
    dimensions: dict[str, BaseDistribution],
    out: Path,
    total: int,
    complete: bool,
    terminal: Terminal,
) -> None:
    """Take trials from the queue until `total` are done, by this process or by others."""
    students = None
    while (done := len(trial_queue.finished(study))) < total:
        if not trial_queue.waiting(study):
            trial_queue.wait_for_others(study, dimensions, out, terminal)
            with locked(out, terminal.say):
                trial_queue.fill(study, dimensions, total, complete)
            continue
        # Data and teachers are loaded by processes that have a trial to train, not by those
        # that wait.
        if students is None:
            students = Trials(options, terminal)
            trial_queue.require_beginning(study, students.facts_of_data, out)
        terminal.say(f"{done} of {total} trials are done")
        objective = _Objective(
            options,
            dimensions,
            students,
            out / run_files.STATE,
            terminal,
            functools.partial(trial_queue.require_beginning, study, folder=out),
        )
        try:
            study.optimize(objective, n_trials=1, catch=TrainingError, callbacks=[objective.ended])
        except _TakenOverError:
            terminal.say(
                "This process stood still for too long: another one has taken over its trial"
            )
        with locked(out, terminal.say):
            _write(study, options, dimensions, out)


def _forget_unbegun(study: optuna.Study, out: Path) -> None:
    """Remove the study of a sweep of which nothing is trained: it would stand in the way of the
    next try with other options. One in a database of the user's stays.
    """
    if trial_queue.has_begun(study, out):
        return
    shutil.rmtree(out / run_files.STATE, ignore_errors=True)
    # Another process that has the file open goes on with it, to the same end.
    (out / trial_queue.STUDY).unlink(missing_ok=True)


def _study(
    options: Mapping[str, Any],
    dimensions: dict[str, BaseDistribution],
    out: Path,
    pruning: bool,
    storage: str | None = None,
) -> optuna.Study:
    asked = {
        "config": dict(options),
        "space": {name: repr(value) for name, value in dimensions.items()},
    }
    return trial_queue.study(
        out, asked, configuration.completed(options)["epochs"], pruning, storage
    )


class _TakenOverError(BaseException):
    """Another process took this one for dead; no Exception, as Optuna would note it with the trial,
    which is closed.
    """


@dataclass(frozen=True)
class _Objective:
    """Trains one student and returns how good it became."""

    options: Mapping[str, Any]
    dimensions: dict[str, BaseDistribution]
    students: Trials
    states: Path
    terminal: Terminal
    begin: Callable[..., None]

    def __call__(self, trial: optuna.Trial) -> float:
        if not trial_queue.QUEUED.items() <= trial.user_attrs.items():
            raise TrainingError("Another process took the last trial of the queue.")
        # Optuna's own first heartbeat comes from a thread: a process killed before it would never
        # be taken for dead.
        trial.study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
        # By the trial, so that neither another process nor one started again draws the same
        # numbers.
        trial.study.sampler = load_optuna().samplers.TPESampler(
            seed=self.options.get("seed", 0) + trial.number
        )
        for name, distribution in self.dimensions.items():
            _suggest(trial, name, distribution)
        self.terminal.say(f"Trial {trial.number}: {_said(trial.params)}")
        try:
            return self._train(trial, self._folder(trial.params))
        except (TrainingError, load_optuna().TrialPruned):
            raise
        except load_optuna().exceptions.UpdateFinishedTrialError as error:
            raise _TakenOverError from error
        except BaseException:
            # Whatever else ended it, Ctrl-C or a full disk, says nothing about these options.
            trial.study.enqueue_trial(trial.params, trial_queue.QUEUED)
            raise

    def ended(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Tell how a trial ended and remove the training's state, once the study knows it: half a
        state can't be gone on with.
        """
        state = trial.state.name.lower()
        score = "" if trial.value is None else f"{100 * trial.value:.2f} % of validation"
        parts = [trial.user_attrs.get("error", ""), score, _NOTES.get(state, "")]
        self.terminal.say(f"Trial {trial.number}: {', '.join(filter(None, parts))}")
        shutil.rmtree(self._folder(trial.params), ignore_errors=True)

    def _folder(self, params: dict[str, Any]) -> Path:
        return self.states / fingerprint([json.dumps(params, sort_keys=True)])

    def _train(self, trial: optuna.Trial, folder: Path) -> float:
        def after_epoch(row: dict[str, float]) -> None:
            trial.report(scores.mean_score(row), int(row["epoch"]))
            if trial.should_prune():
                raise load_optuna().TrialPruned

        try:
            options = self.students.options({**self.options, **trial.params})
        except TrainingError as error:
            # The teacher is that of all trials: without another one, each would fail.
            if "teacher" not in self.dimensions:
                raise ConfigError(str(error)) from error
            trial.set_user_attr("error", str(error))
            raise
        trial.set_user_attr("teacher", options["teacher"])
        try:
            begin = functools.partial(self.begin, own=trial.number)
            history = self.students.train(options, folder, after_epoch, begin)
        except TrainingError as error:
            trial.set_user_attr("error", str(error))
            raise
        trial.set_user_attr("epochs", len(history))
        return max(map(scores.mean_score, history))


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    """Let Optuna choose the value of one option."""
    if choices := trial_queue.choices(distribution):
        trial.suggest_categorical(name, choices)
        return
    whole = isinstance(distribution, load_optuna().distributions.IntDistribution)
    suggest = trial.suggest_int if whole else trial.suggest_float
    numbers: Any = distribution
    suggest(name, numbers.low, numbers.high, log=numbers.log)


def _said(params: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in params.items())


def _write(
    study: optuna.Study,
    options: Mapping[str, Any],
    dimensions: dict[str, BaseDistribution],
    out: Path,
) -> pd.DataFrame:
    """Write trials.csv, best.toml and the picture of what is done so far; return one row a
    trial.
    """
    trained = _trained_column(dimensions)
    rows = [
        {
            "number": trial.number,
            **{name: _encodable(value) for name, value in trial.params.items()},
            "validation": _reached(trial),
            trained: trial.user_attrs.get("epochs", max(trial.intermediate_values, default=0)),
            "state": trial.state.name.lower(),
            "error": _encodable(trial.user_attrs.get("error", "")),
        }
        for trial in trial_queue.finished(study)
    ]
    frame = pd.DataFrame(
        rows, columns=["number", *dimensions, "validation", trained, "state", "error"]
    )
    write_text(out / "trials.csv", text.csv(frame))
    leading = best(frame)
    if leading is not None:
        chosen = study.trials[int(leading["number"])]
        teacher = {"teacher": chosen.user_attrs["teacher"]}
        best_options = configuration.completed({**options, **chosen.params, **teacher})
        write_text(out / "best.toml", configuration.dump(best_options, run_folder.versions()))
        names = [name for name in dimensions if name != "seed"] or list(dimensions)
        sweep_picture(
            out / "sweep.png", frame, names, all(map(trial_queue.choices, dimensions.values()))
        )
    return frame


def _trained_column(names: Iterable[str]) -> str:
    """The column of the number of epochs that were trained, beside those of these options."""
    return "trained_epochs" if "epochs" in names else "epochs"


def _encodable(value: Any) -> Any:
    return text.encodable(value) if isinstance(value, str) else value


def _reached(trial: optuna.trial.FrozenTrial) -> float | None:
    """The best epoch's score; of a student that was stopped early, as far as it came."""
    if trial.state.name == "COMPLETE":
        return trial.value
    return max(trial.intermediate_values.values(), default=None)


def best(frame: pd.DataFrame) -> pd.Series | None:
    """Return the trial with the best validation score among those that were not stopped early; of
    several, the first by its options, whatever order killed trials came back in.

    Args:
        frame: one row for each trial, as `sweep` returns them.

    Returns:
        The row, or None.
    """
    complete = frame[frame["state"] == "complete"]
    options = list(frame.loc[:, :"validation"].columns[1:-1])
    complete = complete.sort_values(options, key=_comparable)
    return complete.loc[complete["validation"].astype(float).idxmax()] if len(complete) else None


def _comparable(column: pd.Series) -> pd.Series:
    """Numbers as they are, all else as text."""
    return column if pd.api.types.is_numeric_dtype(column) else column.astype(str)


def rows(frame: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the trials as rows of text, the best first; scores are in percent.

    Args:
        frame: one row for each trial, as `sweep` returns them.
        names: names of the options that were varied.

    Returns:
        The rows, a header first.
    """
    ordered = frame.sort_values("validation", ascending=False, na_position="last")
    table = [(*names, "validation %", _trained_column(names).replace("_", " "), "")]
    for _, row in ordered.iterrows():
        score = "–" if pd.isna(row["validation"]) else f"{100 * row['validation']:.2f}"
        note = row["error"] or _NOTES[row["state"]]
        done = str(row[_trained_column(names)])
        table.append((*(str(row[name]) for name in names), score, done, note))
    return table
