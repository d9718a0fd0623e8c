"""ONNX files that declare or compute without end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_kd.errors import ModelError
from keras_kd.runtimes import trial
from keras_kd.runtimes.onnx_runtime import OnnxModel

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def _saved(path: Path, batch: int | str, rounds: int, columns: int = 16, name: str = "") -> Path:
    """A network of 4x4 pixels and 2 classes that adds 1 to its outputs so many times."""
    helper, numbers = onnx.helper, onnx.numpy_helper.from_array
    kinds = {"float": onnx.TensorProto.FLOAT, "bool": onnx.TensorProto.BOOL}

    def value(name: str, shape: list[int | str] | None, kind: str = "float") -> object:
        return helper.make_tensor_value_info(name, kinds[kind], shape)

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["before", "one"], ["after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", onnx.TensorProto.INT64, []),
            value("go", [], "bool"),
            value("before", None),
        ],
        [value("on", [], "bool"), value("after", None)],
    )
    nodes = [
        helper.make_node("Reshape", ["image", "shape"], ["row"], name=name),
        helper.make_node("MatMul", ["row", "weights"], ["start"]),
        helper.make_node("Loop", ["rounds", "yes", "start"], ["logits"], body=body),
    ]
    constants = {
        "shape": np.array([-1, columns]),
        "weights": np.zeros((columns, 2), np.float32),
        "rounds": np.array(rounds),
        "yes": np.array(True),
        "one": np.array(1, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("image", [batch, 4, 4, 1])],
        [value("logits", [batch, 2])],
        [numbers(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_a_loop_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 1)
    with pytest.raises(ModelError, match="more than 1 s of the processor's time for one image"):
        OnnxModel(_saved(tmp_path / "a.onnx", "n", 2**62))


def _made(
    path: Path, nodes: list[object], constants: dict[str, np.ndarray], **more: object
) -> Path:
    """A network of 4x4 pixels, of whose nodes `made` is flattened to 16 columns."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [*nodes, helper.make_node("Flatten", ["made"], ["logits"])],
        "graph",
        [helper.make_tensor_value_info("image", floats, [1, 4, 4, 1])],
        [helper.make_tensor_value_info("logits", floats, [1, 16])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=8, **more), path)
    return path


def test_functions_of_functions_end_their_trial_alone(tmp_path: Path) -> None:
    """ONNX Runtime 1.31.1 calls itself for each, and ends with SIGSEGV."""
    helper, depth = onnx.helper, 3000
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]

    def function(number: int) -> object:
        last = number == depth - 1
        kind, domain = ("Identity", "") if last else (f"f{number + 1}", "local")
        node = helper.make_node(kind, ["x"], ["y"], domain=domain)
        return helper.make_function("local", f"f{number}", ["x"], ["y"], [node], sets)

    first = helper.make_node("f0", ["image"], ["made"], domain="local")
    path = _made(tmp_path / "a.onnx", [first], {}, functions=list(map(function, range(depth))))
    with pytest.raises(ModelError, match=r"makes ONNX Runtime fail on one image \(SIGSEGV\)"):
        OnnxModel(path)


def test_memory_of_one_image_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 GB that a file of 300 bytes makes from the sizes of its image, summed again."""
    node = onnx.helper.make_node
    nodes = [
        node("Shape", ["image"], ["shape"]),
        node("Mul", ["shape", "times"], ["large"]),
        node("ConstantOfShape", ["large"], ["zeros"]),
        node("ReduceSum", ["zeros"], ["sum"], keepdims=1),
        node("Add", ["image", "sum"], ["made"]),
    ]
    path = _made(tmp_path / "a.onnx", nodes, {"times": np.array([1, 7000, 7000, 1])})
    monkeypatch.setattr(trial, "MEMORY", 2**30)
    with pytest.raises(ModelError, match="can't be (run|loaded) by ONNX Runtime .*alloc"):
        OnnxModel(path)


@pytest.mark.parametrize("batch", ["n", 2])
def test_a_loop_that_ends_is_computed(batch: int | str, tmp_path: Path) -> None:
    model = OnnxModel(_saved(tmp_path / "a.onnx", batch, 5))
    found = model.predict_heads(np.zeros((3, 4, 4, 1)))["logits"]
    np.testing.assert_array_equal(found, np.full((3, 2), 5, np.float32))


def test_more_images_at_once_than_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="computes 10,000,000 images at once, more than 4,096"):
        OnnxModel(_saved(tmp_path / "a.onnx", 10_000_000, 1))


def test_names_from_the_file_do_not_reach_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime prints an error with its node's name before it raises it."""
    with pytest.raises(ModelError, match="can't be run by ONNX Runtime"):
        OnnxModel(_saved(tmp_path / "a.onnx", "n", 1, columns=17, name="a\x1b[2J\u202e"))
    assert capfd.readouterr() == ("", "")
