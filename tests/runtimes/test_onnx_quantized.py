"""`.onnx` files whose outputs are integers with a scale."""

from pathlib import Path

import numpy as np
import pytest

from keras_kd.errors import ModelError
from keras_kd.runtimes import predictors

onnx = pytest.importorskip("onnx")
WEIGHTS = np.random.default_rng(0).normal(0, 0.02, (48, 3)).astype(np.float32)
PIXELS = np.random.default_rng(1).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)


def _saved(path: Path, end: str) -> Path:
    """Logits W x, rounded to steps of 0.25 around 3; or int8 by a cast, without a scale."""
    helper, kinds = onnx.helper, onnx.TensorProto
    constants = {"w": WEIGHTS, "scale": np.float32(0.25), "zero": np.int8(3)}
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["logits"]),
        helper.make_node("QuantizeLinear", ["logits", "scale", "zero"], ["y"])
        if end == "scale"
        else helper.make_node("Cast", ["logits"], ["y"], to=kinds.INT8),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kinds.FLOAT, ["n", 4, 4, 3])],
        [helper.make_tensor_value_info("y", kinds.INT8, ["n", 3])],
        [onnx.numpy_helper.from_array(np.array(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def test_integers_are_scaled(tmp_path: Path) -> None:
    exact = PIXELS.reshape(8, -1).astype(np.float32) @ WEIGHTS
    expected = np.clip(np.round(exact / 0.25) + 3, -128, 127) * 0.25 - 0.75
    found = predictors.load(_saved(tmp_path / "a.onnx", "scale")).logits(PIXELS)
    np.testing.assert_allclose(found, expected, atol=0.26)


def test_integers_without_a_scale_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="integers without a scale"):
        predictors.load(_saved(tmp_path / "a.onnx", "cast"))
