"""The process behind `quantization_aware`: a Keras 2 twin, fine-tuned with TensorFlow Model
Optimization.

    python -P -m keras_kd._common.quick_start keras_kd.exporters._quantization.worker FOLDER

reads options.json, weights.npz, images.npy, labels.npy, teacher.npy and expected.npy, writes
model.tflite and prints one line an epoch.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tf_keras

from keras_kd._common.allocator import tune_allocator
from keras_kd.exporters._quantization.stage_training import Batches, fit
from keras_kd.exporters._quantization.stages import callbacks, clustered, pruned, quantize, stripped
from keras_kd.exporters._quantization.twin import built, converted, first_layers, require_equal

Wrapper = Callable[[tf_keras.Model], tf_keras.Model | None]
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
    # Read batch by batch: the parent has the same arrays in memory.
    data = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
    tf_keras.utils.set_random_seed(options["seed"])
    twin = built(options["layers"], folder / "weights.npz")
    require_equal(twin, data["images"], data["expected"], options)
    kept = first_layers(twin)
    # Pruned first, as clustering keeps zeros and quantization keeps both.
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
    # Not sys.exit, which ends only this thread.
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
    fit(wrapping, data, options, name, callbacks(name))
    return stripped(name, wrapping, options)


def calibrate(model: tf_keras.Model, data: dict, options: dict) -> None:
    """Set the ranges of the activations to those of a batch of images.

    The library's moving averages begin at -6..6 and forget 0.1 % of that a step: fine-tuning is
    over before they have. Each step of theirs tells the batch's own range; since layers clip what
    later ones see, the ranges settle after as many passes as there are layers, and mostly after
    two.
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
            # Undoes the moving average: what the batch alone would have set.
            value = old + (new - old) / (1 - _RANGE_DECAY)
            weights[number] = np.maximum(value, _SMALLEST_RANGE) if "_max" in name else value
        model.set_weights(weights)
        if _settled(before, [weights[number] for number in ranges]):
            return


def _settled(before: list[np.ndarray], after: list[np.ndarray]) -> bool:
    """Whether no range has moved by more than a tenth of a step of int8."""
    return bool(np.allclose(before, after, rtol=0.1 / 256, atol=0))


def _is_activation_range(name: str) -> bool:
    return name.endswith(("_min:0", "_max:0")) and "kernel" not in name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
