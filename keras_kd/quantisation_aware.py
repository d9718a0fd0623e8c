"""Fine-tuning with the rounding of int8 in the loop, on labels and stored soft labels, to a `.tflite`.

TensorFlow Model Optimization works on Keras 2 models only and changes the environment when imported:
so the work is done by `quantisation_worker` in a process of its own, on a twin of the model.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import litert
from keras_kd.errors import DataError, ExportError
from keras_kd.exporters import ExportReport, _comparison, _model, _serving
from keras_kd.files import written_whole
from keras_kd.images import fitted

# What a twin of a layer is built from; the names are those of Keras 3 and Keras 2 alike.
_ARGUMENTS = {
    "InputLayer": (),
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "use_bias", "activation"),
    "DepthwiseConv2D": ("kernel_size", "strides", "padding", "depth_multiplier", "use_bias", "activation"),
    "Dense": ("units", "use_bias", "activation"),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Activation": ("activation",),
    "Softmax": ("axis",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "GlobalAveragePooling2D": ("keepdims",),
    "ZeroPadding2D": ("padding",),
    "Dropout": ("rate",),
    "Reshape": ("target_shape",),
    "Flatten": (),
    "Add": (),
    "Multiply": (),
    "Concatenate": ("axis",),
    "Rescaling": ("scale", "offset"),
}
_COMPARED = 8


def export_quantisation_aware(
    model: keras.Model,
    path: str | Path,
    images: np.ndarray,
    labels: np.ndarray,
    teacher_logits: np.ndarray | None = None,
    temperature: float = 3.0,
    alpha: float = 0.15,
    beta: float | None = None,
    epochs: int = 2,
    batch_size: int = 128,
    learning_rate: float = 1e-4,
    prune: float | None = None,
    cluster: int | None = None,
    io: str = "float",
    app_input: tuple[int, int, int] = (48, 48, 1),
    checkpoint: str | Path | None = None,
    seed: int = 0,
) -> ExportReport:
    """Fine-tune a trained model for int8 on alpha·CE + beta·T²·KL and write it as `.tflite`.

    Jacob et al. 2018 (arXiv 1712.05877), section 3. The rescaling and the first convolution stay
    float32, as in the format int8. Pruning (Zhu and Gupta 2017, arXiv 1710.01878) and clustering come
    first, `epochs` each, and are kept while quantising: they make the compressed file smaller, neither
    the file nor its latency.

    Args:
        model: Functional, one input, one output of logits.
        path: where to write, ending in `.tflite`.
        images: uint8 (N, H, W, C) of the training data, any size.
        labels: int (N,) or float (N, classes) shares.
        teacher_logits: float (N, classes) for the same images; None trains on the labels alone.
        temperature: T of the soft labels.
        alpha: weight of the cross-entropy.
        beta: weight of T²·KL; 1 - alpha by default.
        epochs: passes over the images of each stage.
        batch_size: images a step.
        learning_rate: Adam's.
        prune: share of the weights to set to zero, 0..1; None for none.
        cluster: number of different weights per layer to keep, 2 or more; None for all.
        io: "float" or "app", as for `export`.
        app_input: as for `export`.
        checkpoint: prefix of the files that keep the stages' weights; a run that finds them goes on from there.
        seed: of shuffling and dropout.

    Returns:
        ExportReport, whose max_difference is from the float model before fine-tuning.

    Raises:
        ExportError: a layer has no twin, the twin differs, training or conversion fails.
        DataError: images, labels and logits are of different numbers.
    """
    path = Path(path)
    _check(path, images, labels, teacher_logits, prune, cluster, io)
    _model.check(model, None)
    reference = _model.in_float32(model)
    small = _model.compacted(reference)
    shape, classes = tuple(small.inputs[0].shape[1:]), small.outputs[0].shape[-1]
    options = {
        "layers": describe(small),
        "temperature": temperature,
        "alpha": alpha if teacher_logits is not None else 1.0,
        "beta": (1 - alpha if beta is None else beta) if teacher_logits is not None else 0.0,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "prune": prune,
        "cluster": cluster,
        "app_input": list(app_input) if io == "app" else None,
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "seed": seed,
    }
    inputs = fitted(images, shape)
    shown = inputs[:_COMPARED].astype(np.float32)
    arrays = {
        "images": inputs,
        "labels": _shares(labels, classes),
        "teacher": np.zeros((len(images), classes)) if teacher_logits is None else teacher_logits,
        "expected": keras.ops.convert_to_numpy(small(shown, training=False)),
    }
    with written_whole(path) as temporary:
        _work(options, arrays, small.get_weights(), temporary)
        serving = _serving.Serving(small, io, app_input)
        compared = fitted(images, serving.input_shape)
        run = litert.LiteRTModel(temporary).predict_heads
        difference = _comparison.difference(reference, serving, compared, run)
        foreign = litert.custom_or_flex(temporary)
        if foreign:
            raise ExportError(f"The quantised file needs operators that LiteRT lacks: {', '.join(foreign)}.")
    return ExportReport(path, "qat", path.stat().st_size, difference, litert.operators(path))


def describe(model: keras.Model) -> list[dict]:
    """Return every layer's name, class, arguments and the names of its inputs, in an order that can be built.

    Raises:
        ExportError: a layer is of a class without twin.
    """
    return [_described(layer, model) for layer in model.layers]


def _described(layer: keras.Layer, model: keras.Model) -> dict:
    kind = next((base.__name__ for base in type(layer).__mro__ if base.__name__ in _ARGUMENTS), None)
    config = layer.get_config()
    if kind is None or not isinstance(config.get("activation", ""), str):
        raise ExportError(
            f"{layer.name} of {model.name} is a {type(layer).__name__}, which can't be quantised in training: "
            "use the format int8 or dynamic."
        )
    arguments = {"shape": list(layer.batch_shape[1:])} if kind == "InputLayer" else {}
    arguments |= {name: config[name] for name in _ARGUMENTS[kind] if name in config}
    sources = [tensor._keras_history.operation.name for tensor in layer._inbound_nodes[0].input_tensors]
    return {"name": layer.name, "kind": kind, "arguments": arguments, "inputs": sources}


def _check(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    teacher_logits: np.ndarray | None,
    prune: float | None,
    cluster: int | None,
    io: str,
) -> None:
    if path.suffix != ".tflite":
        raise ExportError(f"The format qat is written to files ending in .tflite. Received: {path}.")
    if io not in ("float", "app"):
        raise ExportError(f"The format qat offers io='float' or 'app'. Received: io={io!r}.")
    if prune is not None and not 0 < prune < 1:
        raise ExportError(f"prune must be between 0 and 1. Received: prune={prune}.")
    if cluster is not None and cluster < 2:
        raise ExportError(f"cluster must be 2 or more. Received: cluster={cluster}.")
    counts = {len(images), len(labels), len(images if teacher_logits is None else teacher_logits)}
    if len(counts) > 1 or not len(images):
        raise DataError(
            f"Images, labels and the teacher's logits must be of one number, above 0. "
            f"Received: {len(images)} images, {len(labels)} labels"
            + ("." if teacher_logits is None else f", {len(teacher_logits)} logits.")
        )


def _shares(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[labels] if labels.ndim == 1 else labels.astype(np.float32)


def _work(options: dict, arrays: dict[str, np.ndarray], weights: list[np.ndarray], path: Path) -> None:
    """Run the worker in a folder of its own; it leaves model.tflite there."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "options.json").write_text(json.dumps(options))
        numbered: dict[str, Any] = {f"{number:05d}": array for number, array in enumerate(weights)}
        np.savez(folder / "weights.npz", **numbered)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array if name == "images" else array.astype(np.float32))
        command = [sys.executable, "-m", "keras_kd.quantisation_worker", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ExportError(f"Quantisation-aware training failed ({last}): use the format int8 or dynamic.")
        path.write_bytes((folder / "model.tflite").read_bytes())
