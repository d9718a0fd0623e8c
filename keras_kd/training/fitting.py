"""Training that can be stopped at any moment and goes on to the same end."""

from __future__ import annotations

import json
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._common.checked_files import read_json
from keras_kd._common.files import plain_archive, written_whole
from keras_kd.distiller import Distiller
from keras_kd.errors import TrainingError
from keras_kd.models.surgery import weights
from keras_kd.teachers.views import Views
from keras_kd.training.concordance import Concordance
from keras_kd.training.layer_rates import LayerRatesSGD

MOMENTUM = 0.9
WARM_UP_SHARE = 0.05
PLATEAU_EPOCHS = 5
SMALLEST_RATE = 1e-6
SAVE_SECONDS = 60.0
_COUNTS = dict.fromkeys(("epoch", "step", "variables", "metrics"), int)
_STATE = {**_COUNTS, "history": [dict], "finished": bool, "callbacks": [dict]}
SCORE = "val_score"  # the mean over the heads of accuracy or concordance on the validation images
# What Keras' callbacks remember between epochs, by attribute.
REMEMBERED = ("best", "wait", "cooldown_counter", "stopped_epoch", "best_epoch")


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """n/(C·n_c) for each class, whose mean over the images is 1; assumed, as arXiv 2501.18538 gives
    no formula.

    Args:
        labels: int (N,) or shares (N, classes); a class without images gets the weight 0.
        classes: C.

    Returns:
        float64 (classes,).
    """
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    return np.divide(len(labels), classes * counts, out=np.zeros(classes), where=counts > 0)


def smoothed(labels: np.ndarray, classes: int, share: float) -> np.ndarray:
    """Label smoothing: y·(1 - share) + share/C, equation 2 of Szegedy et al. 2016
    (arXiv 1512.00567, section 7).

    Args:
        labels: int (N,) or shares (N, classes).
        classes: C.
        share: in 0..1.

    Returns:
        float32 (N, classes).
    """
    shares = np.eye(classes, dtype=np.float32)[labels] if labels.ndim == 1 else labels
    return ((1 - share) * shares + share / classes).astype(np.float32)


def optimizer(
    schedule: str,
    rate: float,
    weight_decay: float,
    steps: int,
    clip_norm: float = 0.0,
    ema: float = 0.0,
    factors: Mapping[str, float] | None = None,
) -> keras.optimizers.Optimizer:
    """SGD with Nesterov momentum 0.9.

    Args:
        schedule: "cosine" (linear warm-up over 5 % of the steps, then a cosine down to 0) or
            "plateau" (`callbacks`).
        rate: the highest learning rate.
        weight_decay: the L2 penalty's gradient factor in PyTorch's sense.
        steps: of the whole training.
        clip_norm: the largest norm of all gradients together; 0 for any.
        ema: momentum of an exponential moving average of the weights, which `fit` then scores and
            keeps; 0 for none.
        factors: of the learning rate for some variables, by their path; None for none.
    """
    if schedule == "cosine":
        warm_up = round(WARM_UP_SHARE * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, steps - warm_up, warmup_target=rate, warmup_steps=warm_up
        )
    # Keras decays outside the momentum, PyTorch inside it, where it acts 1/(1 - momentum) times as
    # much.
    decay = weight_decay / (1 - MOMENTUM) or None
    average = {"use_ema": True, "ema_momentum": ema} if ema else {}
    clip = clip_norm or None
    common = {"momentum": MOMENTUM, "nesterov": True, "global_clipnorm": clip, **average}
    if factors:
        return LayerRatesSGD(rate, factors=factors, decay=decay, **common)
    return keras.optimizers.SGD(rate, weight_decay=decay, **common)


def callbacks(schedule: str, patience: int) -> list[keras.callbacks.Callback]:
    """What reacts to the validation score: x0.1 after 5 epochs without a better one, a stop after
    `patience`.

    Args:
        schedule: "plateau", or "cosine" which reacts to nothing.
        patience: epochs; 0 for no early stop.
    """
    chosen: list[keras.callbacks.Callback] = []
    if schedule == "plateau":
        chosen.append(
            keras.callbacks.ReduceLROnPlateau(
                SCORE, 0.1, PLATEAU_EPOCHS, mode="max", min_delta=0, min_lr=SMALLEST_RATE
            )
        )
    if patience:
        chosen.append(keras.callbacks.EarlyStopping(SCORE, mode="max", patience=patience))
    return chosen


def metrics(heads: dict[str, int | None] | None) -> Any:
    """What `Distiller.compile` takes as metrics: accuracy of classes, concordance ("ccc") of
    values.

    Args:
        heads: by name the number of classes, or None for a value; None for one head of classes.
    """
    if heads is None:
        return ["accuracy"]
    return {
        name: [Concordance() if classes is None else "accuracy"] for name, classes in heads.items()
    }


def validation_scores(logs: dict[str, float]) -> dict[str, float]:
    """Those of an epoch's logs that say how good the student is on the validation images."""
    return {
        name: logs[name]
        for name in logs
        if name.startswith("val_") and name.endswith(("accuracy", "ccc"))
    }


@dataclass(frozen=True)
class Feed:
    """Batches of the training images, in an order that seed and epoch alone decide.

    Args:
        images: uint8 (N, H, W, C).
        labels: int (N,) or float (N, classes), or a dict of such and of values, float (N,), by
            head.
        views: how images are shown; every epoch shows one view of each, drawn at random.
        batch_size: images a step; a remainder smaller than that sits the epoch out.
        seed: of the order and the choice of views.
        teacher_logits: float16 (N, views, classes), or a dict of such by head, or None without a
            teacher.
    """

    images: np.ndarray
    labels: np.ndarray | dict[str, np.ndarray]
    views: Views
    batch_size: int
    seed: int
    teacher_logits: np.ndarray | dict[str, np.ndarray] | None = None

    def __repr__(self) -> str:
        """One line: how many images, views and images a step."""
        shape = "x".join(map(str, self.images.shape[1:]))
        return (
            f"<Feed: {len(self.images):,} images {shape}, {len(self.views)} views of each, "
            f"{self.batch_size} a step>"
        )

    @property
    def steps(self) -> int:
        """Steps an epoch, at least 1."""
        return max(1, len(self.images) // self.batch_size)

    def batches(self, epoch: int, step: int) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield `(pixels, y)` without end, from the given step of the given epoch on; y as
        Distiller takes it.
        """
        while True:
            random = np.random.default_rng((self.seed, epoch))
            order = random.permutation(len(self.images))
            views = random.integers(len(self.views), size=len(self.images))
            for number in range(step, self.steps):
                rows = order[number * self.batch_size : (number + 1) * self.batch_size]
                yield self._batch(rows, views[rows])
            epoch, step = epoch + 1, 0

    def _batch(self, rows: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, Any]:
        pixels = self.views.show(self.images, rows, views)
        labels = keras.tree.map_structure(lambda column: column[rows], self.labels)
        if self.teacher_logits is None:
            return pixels, labels
        logits = keras.tree.map_structure(
            lambda column: column[rows, views].astype(np.float32), self.teacher_logits
        )
        return pixels, {"label": labels, "teacher": logits}


@dataclass
class _State(keras.callbacks.Callback):
    """Saves all that decides how training goes on, in one file that is replaced whole; restores it.

    Must come last among the callbacks: it then restores the others after they reset themselves.
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

    def load(self, distiller: Distiller) -> None:
        """Take up the state in the file, if there is one."""
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
        except (
            ValueError,
            TypeError,
            KeyError,
            EOFError,
            MemoryError,
            OSError,
            zipfile.BadZipFile,
        ) as error:
            raise TrainingError(
                f"{self.path} is damaged ({error}): start again without --resume."
            ) from error
        self.set_model(distiller)
        variables = self._variables()
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            raise TrainingError(
                f"{self.path} is the state of another model or optimizer: start again without"
                " --resume."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        self.epoch, self.step, self.history = state["epoch"], state["step"], state["history"]
        self.finished = state["finished"]
        self._remembered = state["callbacks"]

    def on_train_begin(self, logs: dict | None = None) -> None:
        for callback, remembered in zip(self.others, self._remembered, strict=False):
            for name in remembered.keys() & set(REMEMBERED):
                setattr(callback, name, remembered[name])

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch
        if self.step and self._metrics:
            self._restore_metrics(self.model.metrics_variables, self._metrics)
        self._metrics = None

    def _restore_metrics(self, variables: list[keras.Variable], arrays: list[np.ndarray]) -> None:
        """Go on with an interrupted epoch's means; an older version may have had other metrics."""
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            warnings.warn(
                f"{self.path} was written with other metrics: the interrupted epoch's loss and"
                " accuracy count from here on; the weights go on as they were.",
                stacklevel=2,
            )
            return
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step = self.first_step + batch + 1
        # The epoch's last step is saved with its scores, in on_epoch_end.
        if self.step < self.steps and time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch, self.step, self.first_step = epoch + 1, 0, 0
        self.finished = self.model.stop_training
        self.save()

    def save(self) -> None:
        """Replace the file by the present state."""
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
            np.savez(temporary, state=np.array(json.dumps(state, default=float)), **arrays)
        self._saved = time.monotonic()


class _Score(keras.callbacks.Callback):
    """Adds the one number that the other callbacks watch."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs[SCORE] = float(np.mean(list(validation_scores(logs).values())))


class _Epochs(keras.callbacks.Callback):
    """Keeps the history and the best weights, stops at NaN, and tells how it goes."""

    def __init__(
        self,
        state: _State,
        best_path: Path,
        report: Callable[[dict[str, float]], None],
        advance: Callable[[int], None],
        batch_size: int,
        averages: keras.callbacks.SwapEMAWeights | None,
    ) -> None:
        super().__init__()
        self.state, self.best_path, self.report = state, best_path, report
        self.advance, self.batch_size, self.averages = advance, batch_size, averages

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.advance(self.batch_size)
        if logs and not np.isfinite(float(logs["loss"])):
            raise TrainingError(
                f"The loss became {float(logs['loss'])} in epoch {self.state.epoch + 1}: lower"
                " --learning-rate, or train in float32 (--precision float32)."
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        seconds = time.monotonic() - self._start
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        row |= {"learning_rate": rate, "seconds": seconds}
        score = row.pop(SCORE)
        if len(validation_scores(row)) > 1:
            row[SCORE] = score
        self.state.history.append(row)
        if score > self.state.best:
            self.state.best = score
            self._save_best()
        self.report(row)

    def _save_best(self) -> None:
        """Save what was scored: the weights, or their averages."""
        if self.averages:
            self.averages.on_test_begin()
        save_weights(self.model.student, self.best_path)
        if self.averages:
            self.averages.on_test_end()


def save_weights(model: keras.Model, path: Path) -> None:
    """Write all weights of `model`, in order, to an .npz file."""
    arrays: dict[str, Any] = {
        f"weight{index}": weight for index, weight in enumerate(model.get_weights())
    }
    with written_whole(path) as temporary:
        np.savez(temporary, **arrays)


def load_weights(model: keras.Model, path: Path) -> None:
    """Set all weights of `model` from a file of `save_weights`."""
    with np.load(path, allow_pickle=False) as stored:
        weights.put([stored[f"weight{index}"] for index in range(len(stored.files))], model)


def fit(
    distiller: Distiller,
    feed: Feed,
    validation: tuple[np.ndarray, Any],
    epochs: int,
    folder: Path,
    callbacks: list[keras.callbacks.Callback] | None = None,
    report: Callable[[dict[str, float]], None] = lambda row: None,
    advance: Callable[[int], None] = lambda images: None,
) -> list[dict[str, float]]:
    """Train a compiled Distiller, or go on with a training that was stopped in `folder`.

    The student ends with the weights, or their averages where the optimizer keeps some, of the
    epoch whose validation score was best: the accuracy, or the mean over the heads of accuracy and
    concordance.

    Args:
        distiller: compiled with `metrics` of its heads.
        feed: training batches.
        validation: uint8 (M, H, W, C) and labels as `feed` has them, scored after every epoch.
        epochs: to train in all, those of earlier attempts included.
        folder: for `state.npz` and `best.npz`; empty for a new training.
        callbacks: Keras' plateau or early-stopping callbacks; what they remember is saved too.
        report: called with each epoch's row of the history.
        advance: called with the number of images after every step, for a progress bar.

    Returns:
        One row an epoch: epoch, loss, hard_loss, soft_loss, accuracy, val_loss, val_accuracy,
        learning_rate, seconds; of several heads NAME_accuracy or NAME_ccc, val_NAME_accuracy or
        val_NAME_ccc, and val_score.

    Raises:
        TrainingError: the loss is NaN, or the state in `folder` is damaged or of another model.
    """
    others = list(callbacks or [])
    state = _State(folder / "state.npz", others, feed.steps)
    distiller.optimizer.build(distiller.trainable_variables)
    state.load(distiller)
    advance((state.epoch * feed.steps + state.step) * feed.batch_size)
    averages = _averages(distiller)
    epochs_end = _Epochs(state, folder / "best.npz", report, advance, feed.batch_size, averages)
    run = [*([averages] if averages else []), _Score(), *others, epochs_end, state]
    state.first_step = state.step
    if state.step and state.epoch < epochs:
        # Keras builds its metrics when they first see numbers, and their sums so far need a place.
        distiller.test_on_batch(*keras.tree.map_structure(lambda part: part[:1], validation))
        _fit(distiller, feed, validation, state.epoch + 1, run, state, feed.steps - state.step)
        # Keras ends `fit` by putting the averages, if any, in the weights' place: undo that.
        state.load(distiller)
    if state.epoch < epochs and not state.finished:
        _fit(distiller, feed, validation, epochs, run, state, feed.steps)
    load_weights(distiller.student, folder / "best.npz")
    return state.history


def _averages(distiller: Distiller) -> keras.callbacks.SwapEMAWeights | None:
    """What shows the averaged weights while the student is scored; None where its optimizer keeps
    none.
    """
    optimizer = getattr(distiller.optimizer, "inner_optimizer", distiller.optimizer)
    return keras.callbacks.SwapEMAWeights() if optimizer.use_ema else None


def _fit(
    distiller: Distiller,
    feed: Feed,
    validation: tuple[np.ndarray, Any],
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
    state: _State,
    steps: int,
) -> None:
    distiller.fit(
        feed.batches(state.epoch, state.step),
        validation_data=validation,
        validation_batch_size=256,
        initial_epoch=state.epoch,
        epochs=epochs,
        steps_per_epoch=steps,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
