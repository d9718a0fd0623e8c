"""The state of a training in one file, from which it continues bit for bit."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._common import hosts
from keras_kd._common.archives import plain_archive
from keras_kd._common.checked_files import read_json
from keras_kd._common.files import written_whole
from keras_kd._common.text import plain_reason
from keras_kd._common.user_warnings import warn
from keras_kd.distiller import Distiller
from keras_kd.errors import TrainingError

SAVE_SECONDS = 60.0
SAVE_STEPS = 200  # where several hosts train together
_COUNTS = dict.fromkeys(("epoch", "step", "variables", "metrics"), int)
_STATE = {**_COUNTS, "history": [dict], "finished": bool, "callbacks": [dict]}
# What Keras' callbacks remember between epochs, by attribute.
REMEMBERED = ("best", "wait", "cooldown_counter", "stopped_epoch", "best_epoch")
FILE = "state.npz"


def has_steps(folder: Path) -> bool:
    """Return whether a training that can go on has taken a step.

    Args:
        folder: of the states of one or several trainings, at any depth; it may be missing.

    Returns:
        True if one has; also if a file is damaged, which `TrainingState.load` tells.
    """
    return any(map(_has_steps, folder.rglob(FILE)))


def _has_steps(path: Path) -> bool:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return _took_steps(read_json(str(stored["state"]), _STATE))
    except Exception:
        # NumPy and zipfile raise what their parsers of headers raise: tokenize.TokenError, ...
        return True


def _took_steps(state: dict[str, Any]) -> bool:
    return bool(state["epoch"] or state["step"])


@dataclass
class TrainingState(keras.callbacks.Callback):
    """Saves everything that decides how a training continues, in one file that is replaced as a
    whole.

    It must be the last of the callbacks, so that it restores the others after they reset
    themselves.
    """

    path: Path
    others: list[keras.callbacks.Callback]
    steps: int
    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float = -np.inf
    first_step: int = 0
    finished: bool = False  # A callback ended the training before its last epoch.

    def __post_init__(self) -> None:
        super().__init__()
        self._remembered: list[dict[str, float]] = []
        self._metrics: list[np.ndarray] | None = None
        self._saved = time.monotonic()

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *self.model.optimizer.variables]

    def _rate(self) -> float | None:
        """The optimizer's learning rate; None where a schedule computes it."""
        optimizer = self.model.optimizer
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        # `learning_rate` is the number at this step; only this attribute shows a schedule.
        if isinstance(inner._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            return None
        return float(keras.ops.convert_to_numpy(inner.learning_rate))

    def load(self, distiller: Distiller) -> None:
        """Restore the state in the file, if there is one and it has a step: what it would restore
        of no step may be of other data or of another model.
        """
        if not self.path.exists():
            return
        try:
            # Refuses what is compressed, which could grow without bound.
            plain_archive(self.path, self.path.stat().st_size).close()
            with np.load(self.path, allow_pickle=False) as stored:
                state = read_json(str(stored["state"]), _STATE)
                arrays = [stored[f"variable{index}"] for index in range(state["variables"])]
                self._metrics = [stored[f"metric{index}"] for index in range(state["metrics"])]
                self.best = float(state["best"])
        except Exception as error:
            # NumPy and zipfile raise what their parsers of headers raise: tokenize.TokenError, ...
            raise TrainingError(
                f"{self.path} is damaged ({plain_reason(error)}): start again without --resume."
            ) from error
        if not _took_steps(state):
            return
        self.set_model(distiller)
        asked = self._rate()
        variables = self._variables()
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            raise TrainingError(
                f"{self.path} is the state of another model or optimizer: start again without"
                " --resume."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        if asked is not None:
            # A plateau's rate is part of the state; a resumed run may have asked for a lower one.
            distiller.optimizer.learning_rate = min(asked, self._rate() or asked)
        self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]
        self.finished = state["finished"]
        self._remembered = state["callbacks"]

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restore the state of the other callbacks."""
        for callback, remembered in zip(self.others, self._remembered, strict=False):
            for name in remembered.keys() & set(REMEMBERED):
                setattr(callback, name, remembered[name])

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Restore the metrics of an interrupted epoch."""
        self.epoch = epoch
        if self.step and self._metrics:
            self._restore_metrics(self.model.metrics_variables, self._metrics)
        self._metrics = None

    def _restore_metrics(self, variables: list[keras.Variable], arrays: list[np.ndarray]) -> None:
        """Go on with an interrupted epoch's means; an older version may have had other metrics."""
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            warn(
                f"{self.path} was written with other metrics: the means of the interrupted epoch"
                " start again here; the weights are not affected."
            )
            return
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Save the state if the last save was long ago."""
        self.step = self.first_step + batch + 1
        # The epoch's last step is saved with its scores, in on_epoch_end.
        if self.step < self.steps and self._is_due():
            if keras.backend.backend() == "jax":
                # JAX keeps the step's variables to itself until the epoch ends.
                self.model.jax_state_sync()
            self.save()

    def _is_due(self) -> bool:
        # Several hosts must agree on it, and their clocks don't.
        if hosts.count() > 1:
            return self.step % SAVE_STEPS == 0
        return time.monotonic() - self._saved > SAVE_SECONDS

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Save the state after the epoch."""
        self.epoch, self.step, self.first_step = epoch + 1, 0, 0
        self.finished = self.model.stop_training
        self.save()

    def save(self) -> None:
        """Replace the file by the present state; of several hosts, the head does."""
        if hosts.number():
            return
        self._remembered = [
            {name: getattr(c, name) for name in REMEMBERED if hasattr(c, name)} for c in self.others
        ]
        variables, metrics = self._variables(), self.model.metrics_variables
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "history": self.history,
            "best": self.best,
            "finished": self.finished,
            "callbacks": self._remembered,
            "variables": len(variables),
            "metrics": len(metrics),
        }
        arrays: dict[str, Any] = {
            f"variable{index}": np.asarray(variable) for index, variable in enumerate(variables)
        }
        arrays |= {f"metric{index}": np.asarray(variable) for index, variable in enumerate(metrics)}
        with written_whole(self.path) as temporary:
            # Callbacks may remember NumPy's numbers, which JSON doesn't know.
            np.savez(temporary, state=np.array(json.dumps(state, default=float)), **arrays)
        self._saved = time.monotonic()
