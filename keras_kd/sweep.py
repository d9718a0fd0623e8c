"""Many students with different options, each trained as `kerakd distill` would: Optuna chooses, SQLite remembers.

Every choice is made on the validation images; the test images stay unseen. All trials share one teacher and, as long as
they show the same views, one store of soft labels.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from keras_kd import config as configuration
from keras_kd import pictures, run, run_folder, training
from keras_kd.config import Config
from keras_kd.errors import ConfigError, TrainingError
from keras_kd.files import fingerprint, write_text
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
# What belongs to a whole sweep.
FIXED = {
    "data",
    "skip_bad_rows",
    "image_size",
    "baseline",
    "formats",
    "soft_labels",
    "verify_soft_labels",
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
    distributions = dict(_dimension(text) for text in texts)
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
) -> pd.DataFrame:
    """Train a student for each choice of options, or go on with a sweep that was stopped in `out`.

    Choices alone are all tried, in order; with a range Optuna's tree-structured Parzen estimator looks for the best.

    Args:
        config: what all trials share.
        dimensions: see `space`.
        out: folder for sweep.db (Optuna's), trials.csv, best.toml and sweep.png.
        trials: how many in all, those of earlier attempts included; None for every choice, or 20 with a range.
        pruning: stop a student whose best epoch is below the median of the others' at the same epoch; never before
            a third of its epochs, nor the first 4 students.
        terminal: what to tell the user by; quiet if None.

    Returns:
        One row a trial: number, the options, validation (the best epoch's score; None if it failed), epochs, state,
        error.

    Raises:
        ConfigError: `out` holds a sweep of other options.
        OutputError: another process is at work there.
    """
    terminal, out = terminal or Terminal(quiet=True), Path(out)
    choices = [_values(distribution) for distribution in dimensions.values()]
    every = math.prod(map(len, choices)) if all(choices) else None
    total = min(trials or every, every) if every else trials or TRIALS
    with run_folder.locked(out):
        study = _study(config, dimensions, out, pruning)
        if every:
            for values in itertools.islice(itertools.product(*choices), total):
                study.enqueue_trial(dict(zip(dimensions, values, strict=True)), skip_if_exists=True)
        _again(study, dimensions)
        if len(_done(study)) < total:
            students = run.Trials(config, terminal)
            while (number := len(_done(study))) < total:
                trial = study.ask(dimensions)
                terminal.say(f"Trial {number + 1} of {total}: {_said(trial.params)}")
                _try(study, trial, students, config, out)
                _write(study, config, dimensions, out)
        shutil.rmtree(out / run_folder.STATE, ignore_errors=True)
        return _write(study, config, dimensions, out)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("A sweep needs Optuna: pip install 'keras-kd[sweep]'.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _study(config: Config, dimensions: dict[str, BaseDistribution], out: Path, pruning: bool) -> optuna.Study:
    """The study in `out`, new or as it was left."""
    optuna = _optuna()
    epochs = config.effective().epochs
    median = optuna.pruners.MedianPruner(UNPRUNED, n_warmup_steps=math.ceil(epochs / 3))
    study = optuna.create_study(
        storage=f"sqlite:///{out / STUDY}",
        study_name="kerakd",
        direction="maximize",
        load_if_exists=True,
        pruner=median if pruning else optuna.pruners.NopPruner(),
    )
    # The same numbers drawn again after a stop would repeat the first trials.
    study.sampler = optuna.samplers.TPESampler(seed=config.seed + len(study.trials))
    asked = {"config": asdict(config), "space": {name: repr(value) for name, value in dimensions.items()}}
    asked = json.loads(json.dumps(asked))
    if study.user_attrs.get("asked", asked) != asked:
        raise ConfigError(f"The sweep in {out} has other options: give the same ones, or choose another --out.")
    study.set_user_attr("asked", asked)
    return study


def _again(study: optuna.Study, dimensions: dict[str, BaseDistribution]) -> None:
    """Queue again what was being trained when the process ended."""
    states = _optuna().trial.TrialState
    queued = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(states=[states.WAITING])]
    for stopped in study.get_trials(states=[states.RUNNING]):
        if stopped.params.keys() == dimensions.keys() and stopped.params not in queued:
            study.enqueue_trial(stopped.params)
        study.tell(stopped.number, state=states.FAIL)


def _done(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that came to an end of their own."""
    states = _optuna().trial.TrialState
    return [
        trial
        for trial in study.trials
        if trial.state in (states.COMPLETE, states.PRUNED) or "error" in trial.user_attrs
    ]


def _try(study: optuna.Study, trial: optuna.Trial, students: run.Trials, config: Config, out: Path) -> None:
    """Train one student and tell the study how good it became."""
    optuna = _optuna()
    folder = out / run_folder.STATE / fingerprint([json.dumps(trial.params, sort_keys=True)])

    def after_epoch(row: dict[str, float]) -> None:
        trial.report(_score(row), int(row["epoch"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        options = students.options(replace(config, **trial.params))
        trial.set_user_attr("teacher", options.teacher)
        history = students.train(options, folder, after_epoch)
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except TrainingError as error:
        trial.set_user_attr("error", str(error))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        trial.set_user_attr("epochs", len(history))
        study.tell(trial, max(map(_score, history)))
    shutil.rmtree(folder, ignore_errors=True)


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
    frame = pd.DataFrame(rows)
    write_text(out / "trials.csv", frame.to_csv(index=False))
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
