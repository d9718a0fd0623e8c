"""The process behind `quantization_aware`: a Keras 2 twin, fine-tuned with TensorFlow Model
Optimization.

    python -m keras_kd.exporters._quantization_worker FOLDER

reads options.json, weights.npz, images.npy, labels.npy, teacher.npy and expected.npy, writes
model.tflite and prints one line an epoch.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_configs as configs,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_registry,
)

from keras_kd import losses
from keras_kd._common.allocator import tune_allocator
from keras_kd.datasets.images import fitted
from keras_kd.exporters._quantization_twin import (
    built,
    converted,
    first_layers,
    in_range,
    require_equal,
)
from keras_kd.teachers.views import Views

Wrapper = Callable[[tf_keras.Model], tf_keras.Model | None]
_WEIGHTED = (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D, tf_keras.layers.Dense)
_FEW_WEIGHTS = 500
_CALIBRATION_IMAGES = 256
_RANGE_DECAY = 0.999  # of tfmot's MovingAverageQuantizer
_SMALLEST_RANGE = 0.01  # a layer that no image gets through would have none


def main(folder: Path) -> None:
    """Do the whole work of one folder."""
    tune_allocator()
    sys.stdout = sys.stderr  # what libraries print is not for the parent
    threading.Thread(target=_end_with_parent, daemon=True).start()
    options = json.loads((folder / "options.json").read_text())
    names = ("images", "labels", "teacher", "expected")
    data = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
    tf_keras.utils.set_random_seed(options["seed"])
    twin = built(options["layers"], folder / "weights.npz")
    require_equal(twin, data["images"], data["expected"], options)
    kept = first_layers(twin)
    sparse = stage(
        "pruned",
        twin,
        options,
        data,
        lambda model: pruned(model, kept, options, len(data["images"])),
    )
    shared = stage(
        "clustered", sparse, options, data, lambda model: clustered(model, kept, options)
    )
    quantized = quantize(shared, kept, options)
    calibrate(quantized, data, options)
    fit(quantized, data, options, "quantized")
    (folder / "model.tflite").write_bytes(converted(quantized, options))


def _end_with_parent() -> None:
    """Wait until nobody holds the other end of stdin any more, however the parent ended."""
    sys.stdin.read()
    os._exit(1)


def stage(
    name: str, model: tf_keras.Model, options: dict, data: dict, wrapped: Wrapper
) -> tf_keras.Model:
    """Train the wrapped model and return it stripped of the wrappers; the model itself where the
    stage is off.
    """
    wrapping = wrapped(model)
    if wrapping is None:
        return model
    fit(wrapping, data, options, name)
    if name == "clustered":
        return tfmot.clustering.keras.strip_clustering(wrapping)
    stripped = tfmot.sparsity.keras.strip_pruning(wrapping)
    zeros = [
        np.mean(layer.get_weights()[0] == 0) for layer in stripped.layers if _worthwhile(layer)
    ]
    if zeros and max(zeros) < options["prune"] - 0.01:
        sys.exit(
            f"only {max(zeros):.0%} of the weights were pruned: train for more epochs or with"
            " smaller batches"
        )
    return stripped


def _worthwhile(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer has weights enough for pruning and clustering to be felt."""
    return isinstance(layer, _WEIGHTED) and layer.count_params() >= _FEW_WEIGHTS


def pruned(
    model: tf_keras.Model, kept: set[str], options: dict, images: int
) -> tf_keras.Model | None:
    """Wrap the layers for pruning by magnitude, up to the final share over the stage's steps."""
    if options["prune"] is None:
        return None
    steps = -(-images // options["batch_size"]) * options["epochs"]
    # Masks change every `frequency` steps; one of these must be the schedule's last, or the share
    # isn't reached.
    frequency = max(1, steps // 100)
    last = frequency * max(1, steps * 3 // 4 // frequency)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, options["prune"], 0, last, frequency=frequency
    )

    def wrapped(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name in kept or not _worthwhile(layer):
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(layer, schedule)

    return tf_keras.models.clone_model(model, clone_function=wrapped)


def clustered(model: tf_keras.Model, kept: set[str], options: dict) -> tf_keras.Model | None:
    """Wrap the layers so that each has few different weights; zeros of pruning stay."""
    if options["cluster"] is None:
        return None
    centroids = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrapped(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name in kept or not _worthwhile(layer):
            return layer
        return tfmot.clustering.keras.cluster_weights(
            layer, options["cluster"], centroids, preserve_sparsity=options["prune"] is not None
        )

    return tf_keras.models.clone_model(model, clone_function=wrapped)


def quantize(model: tf_keras.Model, kept: set[str], options: dict) -> tf_keras.Model:
    """Put fake quantization around all layers but the kept ones."""

    registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
    fused = _fused(model)

    def annotated(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name in kept:
            return layer
        config = None if registry.supports(layer) else configs.Default8BitOutputQuantizeConfig()
        if layer.name in fused:
            config = None
        return tfmot.quantization.keras.quantize_annotate_layer(layer, config)

    with tfmot.quantization.keras.quantize_scope(
        {"Default8BitOutputQuantizeConfig": configs.Default8BitOutputQuantizeConfig}
    ):
        annotation = tf_keras.models.clone_model(model, clone_function=annotated)
        return tfmot.quantization.keras.quantize_apply(annotation, scheme(options))


def _fused(model: tf_keras.Model) -> set[str]:
    """Return the layers that the library quantizes in one with the layer before, or splits."""
    layers = tf_keras.layers
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    names = {layer.name for layer in model.layers if isinstance(layer, layers.SeparableConv2D)}
    for norm in norms:
        before = norm.inbound_nodes[0].inbound_layers
        if isinstance(before, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
            names.add(norm.name)
    return names


def calibrate(model: tf_keras.Model, data: dict, options: dict) -> None:
    """Set the ranges of the activations to those of a batch of images.

    The library's moving averages begin at -6..6 and forget 0.1 % of that a step: fine-tuning is
    over before they have. Each step of theirs tells the batch's own range; since layers clip what
    later ones see, the ranges settle after as many passes as there are layers.
    """
    batch = Batches(data, {**options, "batch_size": _CALIBRATION_IMAGES}, model.input_shape[1:], 0)[
        0
    ][0]
    weights = model.get_weights()
    ranges = {
        number: weight.name
        for number, weight in enumerate(model.weights)
        if _is_activation_range(weight.name)
    }
    for _ in range(len(model.layers)):
        before = [weights[number] for number in ranges]
        model(batch.astype(np.float32), training=True)
        after = [model.weights[number].numpy() for number in ranges]
        for (number, name), old, new in zip(ranges.items(), before, after, strict=True):
            value = old + (new - old) / (1 - _RANGE_DECAY)
            weights[number] = np.maximum(value, _SMALLEST_RANGE) if "_max" in name else value
        model.set_weights(weights)


def _is_activation_range(name: str) -> bool:
    return name.endswith(("_min:0", "_max:0")) and "kernel" not in name


def scheme(options: dict) -> tfmot.quantization.keras.QuantizeScheme:
    """Return the scheme that keeps what the stages before have made."""
    combined = tfmot.experimental.combine
    if options["cluster"] is not None:
        return combined.Default8BitClusterPreserveQuantizeScheme(
            preserve_sparsity=options["prune"] is not None
        )
    if options["prune"] is not None:
        return combined.Default8BitPrunePreserveQuantizeScheme()
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_scheme,
    )

    return default_8bit_quantize_scheme.Default8BitQuantizeScheme()


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


def fit(model: tf_keras.Model, data: dict, options: dict, name: str) -> None:
    """Train one stage; with a checkpoint, go on from the epochs that it holds."""
    done, callbacks = (
        0,
        [
            tf_keras.callbacks.LambdaCallback(
                on_epoch_end=telling(name, options, len(data["images"]))
            )
        ],
    )
    if name == "pruned":
        callbacks.append(tfmot.sparsity.keras.UpdatePruningStep())
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
    optimizer.iterations.assign(done * len(batches))
    model.compile(optimizer, loss=distillation_loss(options))
    model.fit(
        batches,
        initial_epoch=done,
        epochs=options["epochs"],
        callbacks=callbacks,
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
    """Return alpha·CE + beta·(the soft loss that the student was trained by), of targets that hold
    the labels' shares, then the teacher's logits.
    """
    alpha, beta, temperature = options["alpha"], options["beta"], options["temperature"]
    soft_loss = losses.soft_loss(options["soft_loss"])

    def loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        labels, teacher = tf.split(targets, 2, axis=1)
        hard = losses.cross_entropy_each(labels, logits)
        if not beta:
            return alpha * hard
        return alpha * hard + beta * soft_loss(labels, teacher, logits, temperature)

    return loss


if __name__ == "__main__":
    main(Path(sys.argv[1]))
