"""Training that can be stopped at any moment and continued to the same result."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._common import hosts
from keras_kd._common.archives import plain_archive
from keras_kd._common.files import written_whole
from keras_kd._common.text import plain_reason
from keras_kd.distiller import Distiller
from keras_kd.errors import TrainingError
from keras_kd.models.surgery import weights
from keras_kd.training.batches import Batches
from keras_kd.training.scores import SCORE, mean_score, validation_scores
from keras_kd.training.state import FILE, TrainingState


class _Score(keras.callbacks.Callback):
    """Adds the one number that the other callbacks watch."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs[SCORE] = mean_score(logs)


class _Epochs(keras.callbacks.Callback):
    """Keeps the history and the best weights, and stops at NaN."""

    def __init__(
        self,
        state: TrainingState,
        best_path: Path,
        advance: Callable[[int], None],
        batch_size: int,
        averages: keras.callbacks.SwapEMAWeights | None,
        remedy: str,
    ) -> None:
        super().__init__()
        self.state, self.best_path, self.remedy = state, best_path, remedy
        self.advance, self.batch_size, self.averages = advance, batch_size, averages

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.advance(self.batch_size)
        if logs and not np.isfinite(float(logs["loss"])):
            self._stop("loss", float(logs["loss"]))

    def _stop(self, what: str, value: float) -> None:
        raise TrainingError(
            f"The {what} became {value} in epoch {self.state.epoch + 1}: {self.remedy}."
        )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs and not np.isfinite(float(logs.get("val_loss", 0.0))):
            self._stop("validation loss", float(logs["val_loss"]))
        seconds = time.monotonic() - self._start
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        row |= {"learning_rate": rate, "seconds": seconds}
        score = row.pop(SCORE)
        # The score of a single head would stand twice in the history.
        if len(validation_scores(row)) > 1:
            row[SCORE] = score
        self.state.history.append(row)
        if score > self.state.best:
            self.state.best = score
            if hosts.number() == 0:
                self._save_best()

    def _save_best(self) -> None:
        """Save what was scored: the weights, or their averages."""
        if self.averages:
            # Keras' callback swaps the averages in for a test: borrowed here for the file.
            self.averages.on_test_begin()
        save_weights(self.model.student, self.best_path)
        if self.averages:
            self.averages.on_test_end()


class _Reports(keras.callbacks.Callback):
    """Reports each epoch that is saved."""

    def __init__(self, state: TrainingState, report: Callable[[dict[str, float]], None]) -> None:
        super().__init__()
        self.state, self.report = state, report

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.report(self.state.history[-1])


def save_weights(model: keras.Model, path: Path) -> None:
    """Write all weights of a model, in order, to an .npz file.

    Args:
        model: the model.
        path: the file.
    """
    arrays: dict[str, Any] = {
        f"weight{index}": weight for index, weight in enumerate(model.get_weights())
    }
    with written_whole(path) as temporary:
        np.savez(temporary, **arrays)


def load_weights(model: keras.Model, path: Path) -> None:
    """Set all weights of a model from a file of `save_weights`.

    Args:
        model: the model, which is changed.
        path: the file.

    Raises:
        TrainingError: it is damaged or gone.
    """
    try:
        plain_archive(path, path.stat().st_size).close()
        with np.load(path, allow_pickle=False) as stored:
            arrays = [stored[f"weight{index}"] for index in range(len(stored.files))]
        weights.put(arrays, model)
    except Exception as error:
        # NumPy and zipfile raise what their parsers of headers raise: tokenize.TokenError, ...
        raise TrainingError(
            f"{path} is damaged or gone ({plain_reason(error)}): start again without --resume."
        ) from error


def fit(
    distiller: Distiller,
    batches: Batches,
    validation: tuple[np.ndarray, Any],
    epochs: int,
    folder: Path,
    callbacks: list[keras.callbacks.Callback] | None = None,
    report: Callable[[dict[str, float]], None] = lambda row: None,
    advance: Callable[[int], None] = lambda images: None,
    remedy: str = "lower --learning-rate",
) -> list[dict[str, float]]:
    """Train a compiled Distiller, or go on with a training that was stopped in `folder`.

    The student ends with the weights, or their averages where the optimizer keeps some, of the
    epoch whose validation score was best: the accuracy, or the mean over the heads of accuracy and
    concordance.

    Args:
        distiller: compiled with `metrics` of its heads.
        batches: training batches.
        validation: uint8 (M, H, W, C) and labels as `batches` has them, scored after every epoch.
        epochs: to train in all, those of earlier attempts included.
        folder: for `state.npz` and `best.npz`; empty for a new training.
        callbacks: Keras' plateau or early-stopping callbacks; what they remember is saved too.
        report: called with each epoch's row of the history.
        advance: called with the number of images after every step, for a progress bar.
        remedy: what to do where the loss becomes NaN, as the end of a sentence.

    Returns:
        One row an epoch: epoch, loss, hard_loss, soft_loss, accuracy, val_loss, val_accuracy,
        learning_rate, seconds; of several heads NAME_accuracy or NAME_ccc, val_NAME_accuracy or
        val_NAME_ccc, and val_score.

    Raises:
        TrainingError: the loss is NaN, or the state in `folder` is damaged or of another model.
    """
    others = list(callbacks or [])
    state = TrainingState(folder / FILE, others, batches.steps)
    # The state fills the optimizer's and the metrics' variables too: they must exist before.
    distiller.optimizer.build(distiller.trainable_variables)
    _build_metrics(distiller, validation)
    state.load(distiller)
    hosts.wait_for_all("loaded")
    if not state.path.exists():
        state.set_model(distiller)
        state.save()  # Even a first epoch that fails can be resumed with other settings.
    advance((state.epoch * batches.steps + state.step) * batches.batch_size)
    averages = _averages(distiller)
    best = folder / "best.npz"
    epochs_end = _Epochs(state, best, advance, batches.batch_size, averages, remedy)
    # The score comes before the callbacks that read it, the state after all, with what they
    # decided, and the report after the state: a resumed training reports no epoch twice.
    reports = _Reports(state, report)
    ordered = [*([averages] if averages else []), _Score(), *others, epochs_end, state, reports]
    state.first_step = state.step
    # `fit` takes as many steps in each of its epochs: the rest of an interrupted one is its own
    # call.
    if state.step and state.epoch < epochs:
        rest = batches.steps - state.step
        _fit(distiller, batches, validation, state.epoch + 1, ordered, state, rest)
        # Keras ends `fit` by putting the averages, if any, in the weights' place: undo that.
        state.load(distiller)
    if state.epoch < epochs and not state.finished:
        _fit(distiller, batches, validation, epochs, ordered, state, batches.steps)
    hosts.wait_for_all("trained")
    load_weights(distiller.student, best)
    return state.history


def _build_metrics(distiller: Distiller, validation: tuple[np.ndarray, Any]) -> None:
    """Show one image to Keras' metrics, which make their variables then.

    A resumed epoch's sums need these variables, and a step that made them would be traced twice.
    """
    images, labels = keras.tree.map_structure(lambda part: part[:1], validation)
    distiller.compute_metrics(images, labels, distiller(images, training=False))
    distiller.reset_metrics()


def _averages(distiller: Distiller) -> keras.callbacks.SwapEMAWeights | None:
    """What shows the averaged weights while the student is scored; None where its optimizer keeps
    none.
    """
    optimizer = getattr(distiller.optimizer, "inner_optimizer", distiller.optimizer)
    return keras.callbacks.SwapEMAWeights() if optimizer.use_ema else None


def _fit(
    distiller: Distiller,
    batches: Batches,
    validation: tuple[np.ndarray, Any],
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
    state: TrainingState,
    steps: int,
) -> None:
    distiller.fit(
        batches.from_step(state.epoch, state.step),
        validation_data=validation,
        validation_batch_size=256,
        initial_epoch=state.epoch,
        epochs=epochs,
        steps_per_epoch=steps,
        callbacks=callbacks,
        # The batches have an order of their own, which a resumed training must meet again.
        shuffle=False,
        verbose=0,
    )
