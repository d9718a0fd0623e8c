"""The trials of a sweep as a queue in Optuna's database, from which several processes take them.

A trial whose process died during training goes back to the queue.
"""

from __future__ import annotations

import itertools
import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_kd._common import run_files
from keras_kd._common.files import locked
from keras_kd._common.progress import Terminal
from keras_kd._common.text import first_line
from keras_kd.errors import ConfigError, OutputError
from keras_kd.pipelines import run_folder
from keras_kd.training import state

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

STUDY = "sweep.db"
# So many students finish before one is compared with them.
UNPRUNED = 4
# A process that trains says so every few seconds; one that was silent for longer than the other is
# taken for dead.
HEARTBEAT_SECONDS = 10
SILENT_SECONDS = 60
# When its queue is empty, Optuna invents a trial; this marker tells queued trials from invented.
QUEUED = {"queued": True}


def choices(distribution: BaseDistribution) -> tuple[Any, ...]:
    """Return the values of a choice.

    Args:
        distribution: Optuna's distribution.

    Returns:
        The values; empty for a range.
    """
    return tuple(getattr(distribution, "choices", ()))


def load_optuna() -> Any:
    """Import Optuna, an extra, and silence its log.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("A sweep needs Optuna: pip install 'keras-kd[sweep]'.") from error
    # A trial that failed is reported in the table, not by a traceback.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def study(
    folder: Path, asked: dict[str, Any], epochs: int, pruning: bool, storage: str | None = None
) -> optuna.Study:
    """Open the study of a sweep, or create it.

    Args:
        folder: the sweep's folder, with sweep.db.
        asked: the arguments of the sweep, as JSON values.
        epochs: number of epochs of a student; no student is stopped before a third of them.
        pruning: whether students that fall behind the median are stopped.
        storage: URL of a database; None for sweep.db.

    Returns:
        Optuna's study.

    Raises:
        ConfigError: the study has other arguments, or the database can't be opened.
    """
    pruners = load_optuna().pruners
    median = pruners.MedianPruner(UNPRUNED, n_warmup_steps=math.ceil(epochs / 3))
    found = load_optuna().create_study(
        storage=_database(storage, folder / STUDY),
        study_name="kerakd",
        direction="maximize",
        load_if_exists=True,
        pruner=median if pruning else pruners.NopPruner(),
    )
    # As the database gives it back, with lists in place of tuples.
    asked = json.loads(json.dumps(asked))
    if found.user_attrs.get("asked", asked) != asked:
        raise ConfigError(
            f"The sweep in {folder} has other options: give the same ones, or choose another --out."
        )
    found.set_user_attr("asked", asked)
    return found


def require_beginning(
    study: optuna.Study, facts: Mapping[str, str], folder: Path, own: int | None = None
) -> None:
    """Note what a sweep is made with; where it has begun, check that this is unchanged.

    Args:
        study: Optuna's study.
        facts: fingerprints by name, e.g. of the images; what may follow from another stands behind
            it.
        folder: the sweep's folder.
        own: number of the trial that is about to begin, if one is.

    Raises:
        ConfigError: something differs. The message names the first.
    """
    # What was noted before any student was trained binds none.
    noted = study.user_attrs if has_begun(study, folder, own) else {}
    spoilt = ", so that new students can't be compared with those before"
    run_folder.require_unchanged("sweep", folder, noted, facts, spoilt)
    for name in facts.keys() - noted.keys():
        study.set_user_attr(name, facts[name])


def _database(url: str | None, file: Path) -> optuna.storages.RDBStorage:
    """Optuna's tables in a database or a file, where a trial whose process fell silent is queued
    again.
    """
    from sqlalchemy.exc import SQLAlchemyError

    storages, exceptions = load_optuna().storages, load_optuna().exceptions
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
        raise ConfigError(
            f"The database of the sweep can't be opened ({first_line(error)}): check --storage,"
            " expected a URL such as postgresql://USER@HOST/NAME, and that the driver it names is"
            " installed."
        ) from error


@contextmanager
def refusals(file: Path) -> Iterator[None]:
    """Raise an OutputError with the reason if SQLite can't write a file: the disk is full or
    read-only, or the file is damaged.

    Args:
        file: the database.

    Yields:
        Nothing.

    Raises:
        OutputError: the reason.
    """
    exceptions = load_optuna().exceptions
    from sqlalchemy.exc import DatabaseError

    try:
        yield
    except (DatabaseError, exceptions.StorageInternalError) as error:
        # Optuna wraps what SQLAlchemy wraps.
        refused = error if isinstance(error, DatabaseError) else error.__cause__
        raise OutputError(
            f"Can't write {file} ({getattr(refused, 'orig', refused)}): free some space or choose"
            " another --out, and give the command again."
        ) from error


@contextmanager
def _experimental() -> Iterator[None]:
    """Let Optuna's heartbeats, which it calls experimental, pass without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", load_optuna().exceptions.ExperimentalWarning)
        yield


def fill(
    study: optuna.Study, dimensions: dict[str, BaseDistribution], total: int, complete: bool
) -> None:
    """Queue the missing trials: every combination of choices, or trials whose options are drawn
    when they begin.

    A trial can be missing because its process died after recording the failure and before queueing
    it again.

    Args:
        study: Optuna's study.
        dimensions: what is varied.
        total: number of trials in all.
        complete: whether all combinations are tried.
    """
    states = load_optuna().trial.TrialState
    coming = study.get_trials(states=[states.WAITING, states.RUNNING])
    if complete:
        present = [
            # A trial that waits has no parameters yet, only those that it was queued with.
            trial.system_attrs.get("fixed_params", trial.params)
            for trial in [*finished(study), *coming]
        ]
        products = itertools.product(*map(choices, dimensions.values()))
        for values in itertools.islice(products, total):
            params = dict(zip(dimensions, values, strict=True))
            if params not in present:
                study.enqueue_trial(params, QUEUED)
        return
    for _ in range(total - len(finished(study)) - len(coming)):
        study.enqueue_trial({}, QUEUED)


def waiting(study: optuna.Study) -> bool:
    """Whether a trial waits for a process to take it.

    Args:
        study: Optuna's study.

    Returns:
        True if there is one.
    """
    return bool(study.get_trials(deepcopy=False, states=[load_optuna().trial.TrialState.WAITING]))


def wait_for_others(
    study: optuna.Study, dimensions: dict[str, BaseDistribution], out: Path, terminal: Terminal
) -> None:
    """Wait until other processes have finished their trials, or until one of them died and left a
    trial.

    Args:
        study: Optuna's study.
        dimensions: what is varied.
        out: the sweep's folder.
        terminal: where the user sees progress.
    """
    running = [load_optuna().trial.TrialState.RUNNING]
    terminal.say("Waiting for the trials that other processes began")
    while not waiting(study) and study.get_trials(deepcopy=False, states=running):
        time.sleep(1)
        with locked(out, terminal.say), _experimental():
            load_optuna().storages.fail_stale_trials(study)
            queue_unbegun(study, dimensions)


def queue_unbegun(study: optuna.Study, dimensions: dict[str, BaseDistribution]) -> None:
    """Queue again the trials of processes that died before their first heartbeat; such a trial
    still lacks its options long after it was taken.

    Args:
        study: Optuna's study.
        dimensions: what is varied.
    """
    states = load_optuna().trial.TrialState
    latest = datetime.now() - timedelta(seconds=SILENT_SECONDS)
    for trial in study.get_trials(states=[states.RUNNING]):
        if trial.params.keys() != dimensions.keys() and trial.datetime_start < latest:
            study.enqueue_trial(trial.system_attrs.get("fixed_params", {}), QUEUED)
            study.tell(trial.number, state=states.FAIL)


def has_begun(study: optuna.Study, folder: Path, own: int | None = None) -> bool:
    """Whether a student was trained, for a saved step at least, or is being trained by another
    process.

    Args:
        study: Optuna's study.
        folder: the sweep's folder.
        own: number of a trial that is not looked at.

    Returns:
        True if there is one.
    """
    running = study.get_trials(deepcopy=False, states=[load_optuna().trial.TrialState.RUNNING])
    others = any(trial.number != own for trial in running)
    return others or bool(finished(study)) or state.has_steps(folder / run_files.STATE)


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Return the trials that ended by themselves.

    Args:
        study: Optuna's study.

    Returns:
        The trials.
    """
    states = load_optuna().trial.TrialState
    return [
        trial
        for trial in study.trials
        if trial.state in (states.COMPLETE, states.PRUNED) or "error" in trial.user_attrs
    ]
