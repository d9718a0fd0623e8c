"""FaceRes' weights from TensorFlow.js' form, against a run of the graph by NumPy alone."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import numpy as np
import pytest

from keras_kd import checkpoints
from keras_kd.errors import ModelError
from keras_kd.models import keras_file
from keras_kd.models.architectures.mobilenet_face import BLOCKS, STEM

REAL = Path(__file__).parents[2] / "build" / "face" / "faceres.json"
MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)


class Drawn:
    """Writes a graph of FaceRes' form with random numbers."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes = [{"name": "image", "op": "Placeholder"}]
        self.weights, self.numbers, self.last = [], [], "image"

    def array(self, values, dtype="float16"):
        name, values = f"w{len(self.weights)}", np.asarray(values, dtype)
        plain = {"quantization": {"dtype": "float16"}} if dtype == "float16" else {}
        kind = "float32" if dtype == "float16" else dtype
        self.weights.append({"name": name, "shape": list(values.shape), "dtype": kind, **plain})
        self.numbers.append(values.tobytes())
        self.nodes.append({"name": name, "op": "Const"})
        return name

    def step(self, op, array=None, **attributes):
        inputs = [self.last] if array is None else [self.last, array]
        self.last = f"n{len(self.nodes)}"
        self.nodes.append({"name": self.last, "op": op, "input": inputs, "attr": attributes})

    def convolved(self, op, shape, stride):
        kernel = self.array(self.random.normal(0, 1 / np.sqrt(np.prod(shape[:3])), shape))
        texts = {"padding": b"SAME", "data_format": b"NHWC"}
        coded = {key: {"s": base64.b64encode(text).decode()} for key, text in texts.items()}
        self.step(
            op, kernel, strides={"list": {"i": list(map(str, (1, stride, stride, 1)))}}, **coded
        )

    def activated(self, channels, scaled=False):
        if scaled:
            self.step("Mul", self.array(self.random.uniform(1, 4, channels)))
        self.step("Add", self.array(self.random.normal(0.3, 0.5, channels)))
        self.step("Relu")
        self.step("Minimum", self.array(6.0))
        self.step("Maximum", self.array(0.0))

    def network(self):
        self.convolved("Conv2D", (3, 3, 3, STEM), 2)
        self.activated(STEM)
        channels = STEM
        for filters, stride in BLOCKS:
            self.convolved("DepthwiseConv2dNative", (3, 3, channels, 1), stride)
            self.activated(channels, scaled=True)
            self.convolved("Conv2D", (1, 1, channels, filters), 1)
            self.activated(filters)
            channels = filters
        self.step("Mean", self.array([1, 2], "int32"))
        self.features = self.last
        self.step("_FusedMatMul", self.array(np.zeros((channels, 2))))
        return self

    def write(self, folder):
        content = {
            "modelTopology": {"node": self.nodes},
            "weightsManifest": [{"paths": ["weights.bin"], "weights": self.weights}],
        }
        (folder / "weights.bin").write_bytes(b"".join(self.numbers))
        (folder / "model.json").write_text(json.dumps(content))
        return folder / "model.json"


@pytest.fixture(scope="module")
def drawn():
    return Drawn().network()


@pytest.fixture(scope="module")
def written(drawn, tmp_path_factory):
    return drawn.write(tmp_path_factory.mktemp("graph"))


def _arrays(path):
    content = json.loads(path.read_text())
    arrays, start = {}, 0
    for group in content["weightsManifest"]:
        numbers = b"".join((path.parent / name).read_bytes() for name in group["paths"])
        for weight in group["weights"]:
            dtype = {"int32": "<i4"}.get(weight["dtype"], "<f2")
            count = int(np.prod(weight["shape"], dtype=int))
            array = np.frombuffer(numbers, dtype, count, start).reshape(weight["shape"])
            arrays[weight["name"]] = array.astype(np.float32 if dtype == "<f2" else int)
            start += array.nbytes
    return content["modelTopology"]["node"], arrays


def _run(path, rgb):
    """The graph by NumPy, up to the mean over height and width."""
    nodes, values = _arrays(path)
    for node in nodes:
        given = [values[name] for name in node.get("input") or ()]
        match node["op"]:
            case "Placeholder":
                values[node["name"]] = rgb[..., ::-1].astype(np.float32) - MEAN_BGR
            case "Conv2D" | "DepthwiseConv2dNative":
                stride = int(node["attr"]["strides"]["list"]["i"][1])
                values[node["name"]] = _convolved(*given, stride, node["op"] != "Conv2D")
            case "Mul":
                values[node["name"]] = given[0] * given[1]
            case "Add":
                values[node["name"]] = given[0] + given[1]
            case "Relu":
                values[node["name"]] = np.maximum(given[0], 0)
            case "Minimum" | "Maximum":
                limit = np.minimum if node["op"] == "Minimum" else np.maximum
                values[node["name"]] = limit(given[0], given[1])
            case "Mean":
                return given[0].mean(axis=tuple(given[1]))
    raise AssertionError("no mean")


def _convolved(x, kernel, stride, depthwise):
    """TensorFlow's SAME: an odd zero goes below and right."""
    size, side = kernel.shape[0], x.shape[1]
    outputs = -(-side // stride)
    total = max((outputs - 1) * stride + size - side, 0)
    pad = (total // 2, total - total // 2)
    padded = np.pad(x, ((0, 0), pad, pad, (0, 0)))
    result = 0
    for row in range(size):
        for column in range(size):
            rows = slice(row, row + (outputs - 1) * stride + 1, stride)
            columns = slice(column, column + (outputs - 1) * stride + 1, stride)
            part, taps = padded[:, rows, columns], kernel[row, column]
            result = result + (part * taps[:, 0] if depthwise else part @ taps)
    return result


def _assert_parity(path, size):
    rgb = np.random.default_rng(1).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    expected = _run(path, rgb)
    model, spec = checkpoints.load(path, "mobilenet-face", input_shape=(size, size, 3))
    assert np.ptp(expected) > 0.1 and spec.input_shape == (size, size, 3)
    np.testing.assert_allclose(model(rgb), expected, atol=1e-4 * np.ptp(expected))
    gray, _ = checkpoints.load(path, input_shape=(size, size, 1))
    expected = _run(path, rgb[..., :1].repeat(3, -1))
    np.testing.assert_allclose(gray(rgb[..., :1]), expected, atol=1e-4 * np.ptp(expected))
    return model, spec


def test_features_are_those_of_the_graph_and_travel_in_a_file(written, tmp_path):
    model, spec = _assert_parity(written, 32)
    keras_file.save(model, tmp_path / "face.keras", spec)
    again, _ = keras_file.load(tmp_path / "face.keras")
    images = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(again(images), model(images))


def test_the_published_weights_give_the_graphs_features():
    if not REAL.is_file():
        pytest.skip(f"FaceRes is not at {REAL} (make face-weights)")
    _assert_parity(REAL, 64)


def _spoilt(path, folder, change):
    content = json.loads(path.read_text())
    change(content)
    (folder / "weights.bin").write_bytes((path.parent / "weights.bin").read_bytes())
    (folder / "model.json").write_text(json.dumps(content))
    return folder / "model.json"


def _weight(number, **values):
    return lambda content: content["weightsManifest"][0]["weights"][number].update(values)


def _node(operation, change):
    def spoil(content):
        nodes = content["modelTopology"]["node"]
        change(next(node for node in nodes if node["op"] == operation))

    return spoil


def _paths(*names):
    return lambda content: content["weightsManifest"][0].update(paths=list(names))


SPOILT = {
    "another folder": (_paths("../weights.bin"), "asks for '../weights.bin', which is no file"),
    "no file": (_paths("other.bin"), "No file at .*other.bin"),
    "no list": (lambda content: content.pop("weightsManifest"), "'weightsManifest' is missing"),
    "huge": (_weight(0, shape=[2**40, 2**20]), "w0 is declared larger than its numbers"),
    "negative": (_weight(0, shape=[-3, 3, 3, 32]), "the shape of w0 makes no sense"),
    "bytes": (_weight(0, quantization={"dtype": "uint8", "scale": 1, "min": 0}), "of type uint8"),
    "a list": (_weight(0, quantization={"dtype": ["float16"]}), "w0 is of type"),
    "a folder": (_paths("."), "asks for '.', which is no file beside it"),
    "text": (_weight(0, dtype="string", quantization=None), "w0 is of type string"),
    "less": (_weight(1, shape=[16]), "bytes of its weights belong to no array"),
    "stride": (
        _node("Conv2D", lambda node: node["attr"]["strides"]["list"].update(i=["1"] * 4)),
        r"conv1 has strides \(1, 1, 1, 1\)",
    ),
    "padding": (
        _node("Conv2D", lambda node: node["attr"]["padding"].update(s="VkFMSUQ=")),
        "conv1 has strides .* VALID NHWC",
    ),
    "no attributes": (_node("Conv2D", lambda node: node.pop("attr")), "another graph"),
    "operation": (_node("Relu", lambda node: node.update(op="Elu")), "Elu None where Relu None"),
    "fork": (_node("Relu", lambda node: node.update(input=["image"])), "it is no chain"),
    "ring": (_node("Add", lambda node: node["input"].__setitem__(0, node["name"])), "no chain"),
    "two images": (
        lambda content: content["modelTopology"]["node"].append(
            {"name": "other", "op": "Placeholder"}
        ),
        "it has 2 inputs",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_file_that_is_another_or_damaged_is_refused(name, written, tmp_path):
    change, message = SPOILT[name]
    with pytest.raises(ModelError, match=message):
        checkpoints.load(_spoilt(written, tmp_path, change))


def test_numbers_that_are_not_finite_are_refused(written, tmp_path):
    path = _spoilt(written, tmp_path, lambda content: None)
    numbers = np.frombuffer((tmp_path / "weights.bin").read_bytes(), np.uint8).copy()
    numbers[:2] = np.frombuffer(np.float16(np.nan).tobytes(), np.uint8)
    (tmp_path / "weights.bin").write_bytes(numbers.tobytes())
    with pytest.raises(ModelError, match="the numbers of a Conv2D are not all finite"):
        checkpoints.load(path)


def test_a_pipe_in_the_weights_place_is_not_waited_for(written, tmp_path):
    path = _spoilt(written, tmp_path, lambda content: None)
    (tmp_path / "weights.bin").unlink()
    os.mkfifo(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match="weights.bin is no plain file"):
        checkpoints.load(path)


def test_it_has_features_and_no_classes(written):
    with pytest.raises(ModelError, match="face features and no classes.*--start-from"):
        checkpoints.load(written, class_names=("a", "b"))
    with pytest.raises(ModelError, match="only mobilenet-face can be read. Received: model='B'"):
        checkpoints.load(written, "B")
