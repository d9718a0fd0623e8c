"""Other runtimes answer as LiteRT does here; `make runtimes` does the same with whole models.

Each is installed below build/runtimes, or its tests are skipped with the reason. The network has
what once went wrong on one of them: dense layers with and without bias behind integers, a sum of
maps of one pixel, strides of 1x1 kernels, a split whose parts are combined, the mean of two heads,
pixels that are resized inside of the file.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import runtime_files
import runtimes
from keras import layers
from runtime_cells import LATE, Job, outputs, stored
from runtime_files import File
from runtime_list import BROWSER, RUNTIMES, Missing

from keras_kd import exporters
from keras_kd.datasets.images import fitted
from keras_kd.runtimes.litert import LiteRTModel

pytestmark = pytest.mark.runtimes
CLASSES = ("one", "two", "three")
KINDS = ("float32", "dynamic", "int8", runtime_files.INTEGERS, "app")
NOISE = np.random.default_rng(0).integers(0, 256, (60, 20, 20, 3))
# Dark to bright, so that answers differ.
IMAGES = (NOISE * np.linspace(0.05, 1, 60)[:, None, None, None]).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(layers.Rescaling(1 / 255)(image))
    gate = layers.Dense(16, "sigmoid", use_bias=False)(
        layers.GlobalAveragePooling2D(keepdims=True)(x)
    )
    x = layers.Conv2D(80, 1, strides=2, activation="relu")(layers.Multiply()([x, gate]))
    x = layers.Conv2D(32, 4, activation="relu")(x)
    x = layers.Add()([x, layers.Conv2D(32, 1, activation="relu")(x)])
    x = layers.Dense(64, activation="relu", use_bias=False)(layers.Flatten()(x))
    first, second = keras.ops.split(x, 2, axis=-1)
    x = second * keras.ops.sigmoid(first)
    heads = [layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(0, 16, seed=seed))
             for seed in (1, 2)]  # fmt: skip
    return keras.Model(image, layers.Average()([head(x) for head in heads]))


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """A file of each kind, with its pixels and what LiteRT makes of them here."""
    folder, found = tmp_path_factory.mktemp("files"), {}
    for kind in KINDS:
        path = folder / f"{kind}.tflite"
        io = {runtime_files.INTEGERS: "int8", "app": "app"}.get(kind, "float")
        exporters.export(
            model, path, kind if kind in KINDS[:3] else "int8", IMAGES, io, CLASSES, (20, 20, 3),
            (0, 255), min_agreement=0.5,
        )  # fmt: skip
        file = File("small", kind, path, io == "app")
        here = LiteRTModel(path, trusted=True)
        sized = fitted(IMAGES, here.input_shape)
        pixels = np.stack([here.as_input(image[None])[0] for image in sized])
        found[kind] = file, stored(pixels, folder), here.predict(sized)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
def test_a_runtime_answers_as_litert_does_here(runtime, kind, files):
    if not runtime.takes(kind) or runtime.only:
        pytest.skip(f"{runtime.name} takes other files; `make runtimes` has them")
    file, shown, rows = files[kind]
    try:
        command = runtime.command(runtimes.WORK)
    except Missing as reason:
        pytest.skip(f"{runtime.name}: {reason}")
    exact = runtimes.probabilities(rows, file)
    extra = (str(runtimes.WORK / "npm"),) if runtime.driver == BROWSER else ()
    [answer] = outputs(command, [Job(file.path, shown)], 20, extra)
    row = runtimes.compared(runtime, file, answer, exact)
    if LATE in row["reason"]:
        pytest.skip(f"{runtime.name} {row['reason']}: the machine is too busy")
    if row["reason"]:
        expected = _refuses(runtime, kind)
        assert expected, row["reason"]
        pytest.skip(f"{expected}: {row['reason']}")
    assert np.ptp(exact, axis=0).max() > 0.05  # not one answer for all
    assert row["largest_difference"] <= runtimes.RIGHT


def _refuses(runtime, kind):
    """Why a runtime may refuse files of a kind, or nothing."""
    if runtime.driver == "micro" and kind != runtime_files.INTEGERS:
        return "Microcontrollers take files of integers, or of floats, alone"
    if runtime.kind == "litert-webgpu" and kind == "app":
        return "LiteRT.js has no WebGPU code for the whole numbers that resize pixels"
    return ""
