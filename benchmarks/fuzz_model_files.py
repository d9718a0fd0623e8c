"""Small model files of every form, and how fuzz_readers reads them."""

from __future__ import annotations

import functools
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
from fuzz_data_sets import SIDE


def small_model() -> object:
    import keras

    image = keras.Input((SIDE, SIDE, 1), name="image")
    x = keras.layers.Conv2D(2, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))


def write_keras(folder: Path) -> None:
    from keras_kd.models import keras_file

    keras_file.save(
        small_model(),
        folder / "model.keras",
        keras_file.ModelSpec(("a", "b"), input_shape=(SIDE, SIDE, 1)),
    )


def write_h5(folder: Path) -> None:
    small_model().save(folder / "model.h5")


def predicted(folder: Path, name: str) -> object:
    from keras_kd.runtimes import predictors, trial

    trial.SECONDS = 2  # of 60, so that a file without end is no case without end
    return predictors.load(folder / name).predict(np.zeros((1, SIDE, SIDE, 1), np.uint8))


def write_weights(folder: Path) -> None:
    """The same small state dict in each of the three forms, written here byte by byte."""
    text = b"X\x06\x00\x00\x00weight"
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
    )
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + b"K\x00K\x02K\x03\x86K\x03K\x01\x86\x89}tR"
    )
    pickled = b"\x80\x02}" + text + tensor + b"s."
    with zipfile.ZipFile(folder / "new.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", bytes(24))
    start = [
        pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    ]
    numbers = struct.pack("<q", 6) + bytes(24)
    (folder / "old.pth").write_bytes(b"".join([*start, pickled, pickle.dumps(["0"], 2), numbers]))
    header = json.dumps(
        {"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    ).encode()
    (folder / "weights.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + bytes(24)
    )


def write_graph(folder: Path) -> None:
    """A TensorFlow.js graph model of one activation."""
    steps = (("Placeholder", []), ("Add", ["n0", "w"]), ("Mean", ["n1"]))
    nodes = [
        {"name": f"n{number}", "op": op, "input": inputs, "attr": {}}
        for number, (op, inputs) in enumerate(steps)
    ]
    weight = {"name": "w", "shape": [4], "dtype": "float32", "quantization": {"dtype": "float16"}}
    manifest = [{"paths": ["weights.bin"], "weights": [weight]}]
    content = {"modelTopology": {"node": nodes}, "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(content))
    (folder / "weights.bin").write_bytes(np.ones(4, np.float16).tobytes())


def read_graph_model(folder: Path) -> object:
    from keras_kd.checkpoints import _tensorflow_js
    from keras_kd.errors import ModelError

    graph = _tensorflow_js.read(folder / "model.json")
    try:
        return graph.chain("Mean")
    except ValueError as error:  # As the architecture's reader takes it.
        raise ModelError(str(error)) from error


def read_weights(folder: Path) -> object:
    from keras_kd.checkpoints import _files
    from keras_kd.errors import KerasKDError

    refused = None
    for path in sorted(folder.iterdir()):
        try:
            _files.read(path)
        except KerasKDError as error:
            refused = error
    if refused:
        raise refused


def write_tflite(folder: Path) -> None:
    from keras_kd import export

    export(small_model(), folder / "model.tflite", format="float32")
    (folder / "labels.txt").write_text("a\nb\n")


def read_graph(folder: Path) -> object:
    from keras_kd.runtimes import multiply_accumulates, tflite_operators

    path = folder / "model.tflite"
    return (
        tflite_operators.custom_or_flex(path),
        multiply_accumulates.of_tflite(path),
        multiply_accumulates.live_taps(path),
    )


def write_labels(folder: Path) -> None:
    write_tflite(folder)


def read_labels(folder: Path) -> object:
    from keras_kd.sessions import _reader

    return _reader.load(folder / "model.tflite")


def write_onnx(folder: Path) -> None:
    from keras_kd import export

    export(small_model(), folder / "model.onnx", format="onnx")


def write_saved_model(folder: Path) -> None:
    from keras_kd import export

    export(small_model(), folder / "model", format="saved_model")


def write_arrays(folder: Path) -> None:
    write_keras(folder)
    np.savez(folder / "arrays.npz", inputs=np.zeros((2, SIDE, SIDE, 1)), outputs=np.zeros((2, 2)))


def read_arrays(folder: Path) -> object:
    from keras_kd import checkpoints

    return checkpoints.compare(_loaded(folder / "model.keras"), folder / "arrays.npz")


@functools.cache
def _loaded(path: Path) -> object:
    """The model beside the arrays, which is not spoilt."""
    from keras_kd.models import keras_file

    return keras_file.load(path)[0]
