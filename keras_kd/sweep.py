"""Many students with different options, each trained as `kerakd distill` would: Optuna chooses, SQLite remembers.

Every choice is made on the validation images; the test images stay unseen. All trials share one teacher and, as long as
they show the same views, one store of soft labels. Several processes may work on one sweep: its trials are a queue in
the database, and one that was being trained by a process that died goes back to it.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_kd import config as configuration
from keras_kd import pictures, run, run_folder, text, training
from keras_kd.config import Config
from keras_kd.errors import ConfigError, OutputError, TrainingError
from keras_kd.files import fingerprint, locked, write_text
from keras_kd.progress import Terminal

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

STUDY = "sweep.db"
# Section IV of arXiv 2501.18538: its study of sensitivity.
PAPER = ("temperature=1,2,3,4,5", "alpha=0.1,0.15,0.2")
TRIALS = 20
# So many students finish before one is compared with them.
UNPRUNED = 4
# A process that trains says so every few seconds; one that was silent for longer than the other is taken for dead.
HEARTBEAT_SECONDS = 10
SILENT_SECONDS = 60
# What marks the trials of the queue: asked for one more than it has, Optuna makes another up.
QUEUED = {"queued": True}
# What belongs to a whole sweep.
FIXED = {
    "data",
    "skip_bad_rows",
    "image_size",
    "baseline",
    "formats",
    "soft_labels",
    "verify_soft_labels",
    "label_workers",
    "devices",
    "teacher_input",
    "teacher_range",
    "teacher_output",
    "teacher_classes",
    "precision",
}


def space(texts: Iterable[str]) -> dict[str, BaseDistribution]:
    """What to try, by option.

    Args:
        texts: KEY=A,B,C for a choice, KEY=LOW:HIGH for a range, KEY=LOW:HIGH:log for one tried by its logarithm.

    Raises:
        ConfigError: an unknown option, or values that it can't have; the message names them.
    """
    dimensions = [_dimension(text) for text in texts]
    distributions = dict(dimensions)
    if len(distributions) < len(dimensions):
        names = [name for name, _ in dimensions]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"--vary names {twice} twice: give all its values at once.")
    for name, distribution in distributions.items():
        for value in _values(distribution) or (distribution.low, distribution.high):  # type: ignore[attr-defined]
            Config(**{name: value})
    return distributions


def _dimension(text: str) -> tuple[str, BaseDistribution]:
    distributions = _optuna().distributions
    key, _, values = text.partition("=")
    flags = {spec.metadata["flag"]: name for name, spec in configuration.fields().items() if spec.metadata["flag"]}
    name = flags.get(key, key).replace("-", "_")
    if name not in configuration.fields() or name in FIXED:
        raise ConfigError(f"A sweep can't vary {key!r}: give an option of the student's training, as temperature=1,2.")
    kind = configuration.kind(name)
    try:
        if ":" not in values:
            return name, distributions.CategoricalDistribution([_value(kind, part) for part in values.split(",")])
        low, high, *log = values.split(":")
        made = {int: distributions.IntDistribution, float: distributions.FloatDistribution}[kind]
        if log not in ([], ["log"]):
            raise ValueError(values)
        return name, made(kind(low), kind(high), log=bool(log))
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f"--vary takes KEY=A,B,C or, for numbers, KEY=LOW:HIGH or KEY=LOW:HIGH:log. Received: {text!r}."
        ) from error


def _value(kind: type, text: str) -> Any:
    if kind is bool:
        return {"true": True, "false": False}[text]
    return kind(text)


def _values(distribution: BaseDistribution) -> tuple[Any, ...]:
    """The values of a choice; none for a range."""
    return tuple(getattr(distribution, "choices", ()))


def sweep(
    config: Config,
    dimensions: dict[str, BaseDistribution],
    out: str | Path,
    trials: int | None = None,
    pruning: bool = True,
    terminal: Terminal | None = None,
    storage: str | None = None,
) -> pd.DataFrame:
    """Train a student for each choice of options, go on with a sweep that was stopped, or help one that is under way.

    Choices alone are all tried, in order; with a range Optuna's tree-structured Parzen estimator looks for the best.
    Every process that is given the same arguments takes trials from the same queue and returns when all are done.

    Args:
        config: what all trials share.
        dimensions: see `space`.
        out: folder for sweep.db (Optuna's), trials.csv, best.toml and sweep.png.
        trials: how many in all, those of earlier attempts included; None for every choice, or 20 with a range.
        pruning: stop a student whose best epoch is below the median of the others' at the same epoch; never before
            a third of its epochs, nor the first 4 students.
        terminal: what to tell the user by; quiet if None.
        storage: URL of a database as Optuna takes it, for processes on several hosts; sweep.db if None.

    Returns:
        One row a trial: number, the options, validation (the best epoch's score; None if it failed), epochs, state,
        error.

    Raises:
        ConfigError: `out` or the database holds a sweep of other options.
        OutputError: the operating system refuses to write there.
    """
    terminal, out = terminal or Terminal(quiet=True), Path(out)
    choices = [_values(distribution) for distribution in dimensions.values()]
    every = math.prod(map(len, choices)) if all(choices) else None
    total = min(trials or every, every) if every else trials or TRIALS
    with _refusals(out / STUDY):
        with locked(out, terminal.say):
            study = _study(config, dimensions, out, pruning, storage)
            _queue(study, dimensions, total, complete=every is not None)
        students = None
        while (done := len(_done(study))) < total:
            if not _waiting(study):
                _wait(study, dimensions, out, terminal)
                with locked(out, terminal.say):
                    _queue(study, dimensions, total, complete=every is not None)
                continue
            students = students or run.Trials(config, terminal)
            terminal.say(f"{done} of {total} trials are done")
            objective = _Objective(config, dimensions, students, out / run_folder.STATE, terminal)
            try:
                study.optimize(objective, n_trials=1, catch=TrainingError, callbacks=[objective.forget])
            except _TakenOverError:
                terminal.say("This process stood still for too long: another one has taken over its trial")
            with locked(out, terminal.say):
                _write(study, config, dimensions, out)
        shutil.rmtree(out / run_folder.STATE, ignore_errors=True)
        with locked(out, terminal.say):
            return _write(study, config, dimensions, out)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("A sweep needs Optuna: pip install 'keras-kd[sweep]'.") from error
    # A trial that failed is told in the table, not by a traceback.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _study(
    config: Config, dimensions: dict[str, BaseDistribution], out: Path, pruning: bool, storage: str | None = None
) -> optuna.Study:
    """The study in the database, new or as it was left."""
    optuna = _optuna()
    epochs = config.effective().epochs
    median = optuna.pruners.MedianPruner(UNPRUNED, n_warmup_steps=math.ceil(epochs / 3))
    study = optuna.create_study(
        storage=_database(storage, out / STUDY),
        study_name="kerakd",
        direction="maximize",
        load_if_exists=True,
        pruner=median if pruning else optuna.pruners.NopPruner(),
    )
    asked = {"config": asdict(config), "space": {name: repr(value) for name, value in dimensions.items()}}
    asked = json.loads(json.dumps(asked))
    if study.user_attrs.get("asked", asked) != asked:
        raise ConfigError(f"The sweep in {out} has other options: give the same ones, or choose another --out.")
    study.set_user_attr("asked", asked)
    return study


def _database(url: str | None, file: Path) -> optuna.storages.RDBStorage:
    """Optuna's tables in a database or a file, where a trial whose process fell silent is queued again."""
    from sqlalchemy.exc import SQLAlchemyError

    storages, exceptions = _optuna().storages, _optuna().exceptions
    # SQLite gives up after 5 seconds, which other processes may need on a busy machine.
    patience = {} if url else {"connect_args": {"timeout": SILENT_SECONDS}}
    try:
        with _experimental():
            return storages.RDBStorage(
                url or f"sqlite:///{file}",
                engine_kwargs=patience,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=SILENT_SECONDS,
                heartbeat_stale_trial_callback=storages.RetryHeartbeatStaleTrialCallback(),
            )
    except (SQLAlchemyError, exceptions.StorageInternalError, ImportError) as error:
        if url is None:
            raise
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"The database of the sweep can't be opened ({reason}): check --storage, expected a URL such as "
            "postgresql://USER@HOST/NAME, and that the driver it names is installed."
        ) from error


@contextmanager
def _refusals(file: Path) -> Iterator[None]:
    """Say as an OutputError why SQLite can't write `file`: the disk is full or read-only, or the file is damaged."""
    exceptions = _optuna().exceptions
    from sqlalchemy.exc import DatabaseError

    try:
        yield
    except (DatabaseError, exceptions.StorageInternalError) as error:
        # Optuna wraps what SQLAlchemy wraps.
        refused = error if isinstance(error, DatabaseError) else error.__cause__
        raise OutputError(
            f"Can't write {file} ({getattr(refused, 'orig', refused)}): free some space or choose another --out, and "
            "give the command again."
        ) from error


@contextmanager
def _experimental() -> Iterator[None]:
    """Let Optuna's heartbeats, which it calls experimental, pass without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _optuna().exceptions.ExperimentalWarning)
        yield


def _queue(study: optuna.Study, dimensions: dict[str, BaseDistribution], total: int, complete: bool) -> None:
    """Queue what is missing: every choice, or trials whose options are chosen when they begin.

    A trial may be missing whose process died, and then the one that had noted its failure and was to queue it again.
    """
    states = _optuna().trial.TrialState
    coming = study.get_trials(states=[states.WAITING, states.RUNNING])
    if complete:
        present = [trial.system_attrs.get("fixed_params", trial.params) for trial in [*_done(study), *coming]]
        products = itertools.product(*map(_values, dimensions.values()))
        for values in itertools.islice(products, total):
            params = dict(zip(dimensions, values, strict=True))
            if params not in present:
                study.enqueue_trial(params, QUEUED)
        return
    for _ in range(total - len(_done(study)) - len(coming)):
        study.enqueue_trial({}, QUEUED)


def _waiting(study: optuna.Study) -> bool:
    return bool(study.get_trials(deepcopy=False, states=[_optuna().trial.TrialState.WAITING]))


def _wait(study: optuna.Study, dimensions: dict[str, BaseDistribution], out: Path, terminal: Terminal) -> None:
    """Wait until other processes have finished their trials, or one of them died and left a trial to do."""
    running = [_optuna().trial.TrialState.RUNNING]
    terminal.say("Waiting for the trials that other processes began")
    while not _waiting(study) and study.get_trials(deepcopy=False, states=running):
        time.sleep(1)
        with locked(out, terminal.say), _experimental():
            _optuna().storages.fail_stale_trials(study)
            _queue_unbegun(study, dimensions)


def _queue_unbegun(study: optuna.Study, dimensions: dict[str, BaseDistribution]) -> None:
    """Queue again what a process took that died before its first heartbeat: it lacks options, long after."""
    states = _optuna().trial.TrialState
    latest = datetime.now() - timedelta(seconds=SILENT_SECONDS)
    for trial in study.get_trials(states=[states.RUNNING]):
        if trial.params.keys() != dimensions.keys() and trial.datetime_start < latest:
            study.enqueue_trial(trial.system_attrs.get("fixed_params", {}), QUEUED)
            study.tell(trial.number, state=states.FAIL)


def _done(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that came to an end of their own."""
    states = _optuna().trial.TrialState
    return [
        trial
        for trial in study.trials
        if trial.state in (states.COMPLETE, states.PRUNED) or "error" in trial.user_attrs
    ]


class _TakenOverError(BaseException):
    """Another process took this one for dead; no Exception, as Optuna would note it with the trial, which is closed."""


@dataclass(frozen=True)
class _Objective:
    """Trains one student and returns how good it became."""

    config: Config
    dimensions: dict[str, BaseDistribution]
    students: run.Trials
    states: Path
    terminal: Terminal

    def __call__(self, trial: optuna.Trial) -> float:
        if not QUEUED.items() <= trial.user_attrs.items():
            raise TrainingError("Another process took the last trial of the queue.")
        # Optuna's own first heartbeat comes from a thread: a process killed before it would never be taken for dead.
        trial.study._storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
        # By the trial, so that neither another process nor one started again draws the same numbers.
        trial.study.sampler = _optuna().samplers.TPESampler(seed=self.config.seed + trial.number)
        for name, distribution in self.dimensions.items():
            _suggest(trial, name, distribution)
        self.terminal.say(f"Trial {trial.number}: {_said(trial.params)}")
        try:
            return self._train(trial, self._folder(trial.params))
        except (TrainingError, _optuna().TrialPruned):
            raise
        except _optuna().exceptions.UpdateFinishedTrialError as error:
            raise _TakenOverError from error
        except BaseException:
            # Whatever else ended it, Ctrl-C or a full disk, says nothing about these options.
            trial.study.enqueue_trial(trial.params, QUEUED)
            raise

    def forget(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Remove the training's state, once the study knows how it ended: half a state can't be gone on with."""
        shutil.rmtree(self._folder(trial.params), ignore_errors=True)

    def _folder(self, params: dict[str, Any]) -> Path:
        return self.states / fingerprint([json.dumps(params, sort_keys=True)])

    def _train(self, trial: optuna.Trial, folder: Path) -> float:
        def after_epoch(row: dict[str, float]) -> None:
            trial.report(_score(row), int(row["epoch"]))
            if trial.should_prune():
                raise _optuna().TrialPruned

        options = self.students.options(replace(self.config, **trial.params))
        trial.set_user_attr("teacher", options.teacher)
        try:
            history = self.students.train(options, folder, after_epoch)
        except TrainingError as error:
            trial.set_user_attr("error", str(error))
            raise
        trial.set_user_attr("epochs", len(history))
        return max(map(_score, history))


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    """Let Optuna choose the value of one option."""
    if choices := _values(distribution):
        trial.suggest_categorical(name, choices)
        return
    whole = isinstance(distribution, _optuna().distributions.IntDistribution)
    suggest = trial.suggest_int if whole else trial.suggest_float
    suggest(name, distribution.low, distribution.high, log=distribution.log)  # type: ignore[attr-defined]


def _score(row: dict[str, float]) -> float:
    """What decides which epoch is the best, see `training.fit`."""
    return float(np.mean(list(training.validation_scores(row).values())))


def _said(params: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in params.items())


def _write(study: optuna.Study, config: Config, dimensions: dict[str, BaseDistribution], out: Path) -> pd.DataFrame:
    """Write trials.csv, best.toml and the picture of what is done so far; return one row a trial."""
    rows = [
        {
            "number": trial.number,
            **trial.params,
            "validation": _reached(trial),
            "epochs": trial.user_attrs.get("epochs", max(trial.intermediate_values, default=0)),
            "state": trial.state.name.lower(),
            "error": trial.user_attrs.get("error", ""),
        }
        for trial in _done(study)
    ]
    frame = pd.DataFrame(rows, columns=["number", *dimensions, "validation", "epochs", "state", "error"])
    write_text(out / "trials.csv", text.csv(frame))
    if best(frame) is not None:
        chosen = study.best_trial
        options = replace(config, **chosen.params | {"teacher": chosen.user_attrs["teacher"]}).effective()
        write_text(out / "best.toml", configuration.dump(options, run_folder.versions()))
        names = [name for name in dimensions if name != "seed"] or list(dimensions)
        pictures.sweep_picture(out / "sweep.png", frame, names, all(map(_values, dimensions.values())))
    return frame


def _reached(trial: optuna.trial.FrozenTrial) -> float | None:
    """The best epoch's score; of a student that was stopped early, as far as it came."""
    if trial.state.name == "COMPLETE":
        return trial.value
    return max(trial.intermediate_values.values(), default=None)


def best(frame: pd.DataFrame) -> pd.Series | None:
    """The trial with the best validation score of those that were not stopped."""
    complete = frame[frame["state"] == "complete"]
    return complete.loc[complete["validation"].astype(float).idxmax()] if len(complete) else None


def rows(frame: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Trials as rows of text, the best first, a header before them; scores in percent."""
    ordered = frame.sort_values("validation", ascending=False, na_position="last")
    table = [(*names, "validation %", "epochs", "")]
    for _, row in ordered.iterrows():
        score = "–" if pd.isna(row["validation"]) else f"{100 * row['validation']:.2f}"
        note = row["error"] or {"complete": "", "pruned": "stopped early"}[row["state"]]
        table.append((*(str(row[name]) for name in names), score, str(row["epochs"]), note))
    return table
