"""The training of one stage of the fine-tuning: batches, loss, checkpoints, progress lines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from keras_kd import losses
from keras_kd.datasets.images import fitted
from keras_kd.exporters._quantization.twin import in_range
from keras_kd.teachers.views import Views


class Batches(tf_keras.utils.Sequence):
    """Pixels and targets; every epoch shows one view of each image, drawn at random, in an order of
    its own.
    """

    def __init__(self, data: dict, options: dict, shape: tuple[int, ...], epoch: int) -> None:
        self._data, self._shape, self._epoch = data, shape, epoch
        self._options = options
        self._size, self._seed = options["batch_size"], options["seed"]
        self._views = Views(**options["views"])
        self._draw()

    def _draw(self) -> None:
        random = np.random.default_rng((self._seed, self._epoch))
        self._order = random.permutation(len(self._data["images"]))
        self._chosen = random.integers(len(self._views), size=len(self._order))

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._order[number * self._size : (number + 1) * self._size]
        views = self._chosen[rows]
        pixels = fitted(self._views.show(self._data["images"], rows, views), self._shape)
        return in_range(pixels, self._options), np.concatenate(
            [self._data["labels"][rows], self._data["teacher"][rows, views]], axis=1
        )

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._draw()


def fit(
    model: tf_keras.Model,
    data: dict,
    options: dict,
    name: str,
    more: Sequence[tf_keras.callbacks.Callback] = (),
) -> None:
    """Train one stage, with callbacks more; with a checkpoint, go on from the epochs that it
    holds.
    """
    report = telling(name, options, len(data["images"]))
    callbacks = [tf_keras.callbacks.LambdaCallback(on_epoch_end=report), *more]
    done = 0
    if options["checkpoint"] is not None:
        weights, epochs = (
            Path(f"{options['checkpoint']}.{name}.h5"),
            Path(f"{options['checkpoint']}.{name}.json"),
        )
        if epochs.exists():
            done = json.loads(epochs.read_text())["epochs"]
            model.load_weights(weights)
        callbacks.append(
            tf_keras.callbacks.LambdaCallback(on_epoch_end=saving(model, weights, epochs))
        )
    batches = Batches(data, options, model.input_shape[1:], done)
    rate = tf_keras.optimizers.schedules.CosineDecay(
        options["learning_rate"], len(batches) * options["epochs"]
    )
    optimizer = tf_keras.optimizers.Adam(rate)
    # The cosine goes on where the stopped training left it.
    optimizer.iterations.assign(done * len(batches))
    model.compile(optimizer, loss=distillation_loss(options))
    model.fit(
        batches,
        initial_epoch=done,
        epochs=options["epochs"],
        callbacks=callbacks,
        # Batches draw an order of their own from the seed, which a resumed stage must meet again.
        shuffle=False,
        verbose=0,
    )


def telling(name: str, options: dict, images: int) -> Callable[[int, dict | None], None]:
    """Return a function that prints a line after an epoch."""
    start = [time.monotonic()]

    def tell(epoch: int, logs: dict | None) -> None:
        rate, start[0] = images / (time.monotonic() - start[0]), time.monotonic()
        line = (
            f"{name}: epoch {epoch + 1}/{options['epochs']}  loss {logs['loss']:.4f}  {rate:,.0f}"
            " images/s"
        )
        # The worker's sys.stdout is stderr: the parent reads only these lines.
        print(line, file=sys.__stdout__, flush=True)

    return tell


def saving(
    model: tf_keras.Model, weights: Path, epochs: Path
) -> Callable[[int, dict | None], None]:
    """Return a function that keeps the weights after an epoch, the count last, so that both are
    always there.
    """

    def save(epoch: int, logs: dict | None) -> None:
        part = weights.with_suffix(
            ".part.h5"
        )  # HDF5: Keras 2 can't reload quantized layers from .keras
        model.save_weights(part)
        os.replace(part, weights)
        epochs.write_text(json.dumps({"epochs": epoch + 1}))

    return save


def distillation_loss(options: dict) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return alpha·CE + beta·(the soft loss that the student was trained by), of targets that
    hold the labels' shares, then the teacher's logits.
    """
    alpha, beta, temperature = options["alpha"], options["beta"], options["temperature"]
    soft_loss = losses.soft_loss(options["soft_loss"])

    def loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        # Keras 2 hands a loss one tensor: labels and logits lie side by side, C columns each.
        labels, teacher = tf.split(targets, 2, axis=1)
        hard = losses.cross_entropy_each(labels, logits)
        if not beta:
            return alpha * hard
        return alpha * hard + beta * soft_loss(labels, teacher, logits, temperature)

    return loss
