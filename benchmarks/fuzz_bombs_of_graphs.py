"""ONNX files and SavedModels of a few operations that compute without end, or more than any memory
holds.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import numpy as np

SIDE = 8


def onnx_file(folder: Path, random: Random) -> None:
    """A loop, a large tensor, functions in functions, branches in branches, or many
    images.
    """
    import onnx

    kind = random.choice((_large, _large, _functions, _branches, _images, _loop))
    onnx.save(kind(int(10 ** random.uniform(0, 4.5)), random), folder / "model.onnx")


def _model(nodes: list, constants: dict, functions: list = (), batch: int = 1) -> object:
    """What nodes make of `image` as `made`, flattened."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [*nodes, helper.make_node("Flatten", ["made"], ["logits"])],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, SIDE, SIDE, 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, SIDE * SIDE])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, functions=functions, opset_imports=sets, ir_version=8)


def _large(times: int, random: Random) -> object:
    """Zeros of any size, whose sum is added; some made from the image's own size."""
    from onnx import helper

    node, sizes = helper.make_node, np.array([1, times, random.choice((1, 10, times)), 1])
    start = ["shape"] if random.random() < 0.5 else []
    nodes = [node("Shape", ["image"], ["shape"]), node("Mul", ["shape", "times"], ["sizes"])]
    tail = [
        node("ReduceSum", ["zeros"], ["sum"], keepdims=1),
        node("Add", ["image", "sum"], ["made"]),
    ]
    kind = random.choice(("ConstantOfShape", "Expand", "Tile"))
    source = ["sizes" if start else "times"]
    inputs = source if kind == "ConstantOfShape" else ["one", *source]
    constants = {"times": sizes, "one": np.ones((1, 1, 1, 1), np.float32)}
    return _model([*nodes, node(kind, inputs, ["zeros"]), *tail], constants)


def _functions(times: int, random: Random) -> object:
    """A chain of local functions, of which the last may call the first."""
    from onnx import helper

    depth = min(times, 5000)
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    circle = random.random() < 0.2

    def function(number: int) -> object:
        last = number == depth - 1 and not circle
        called, domain = ("Identity", "") if last else (f"f{(number + 1) % depth}", "local")
        node = helper.make_node(called, ["x"], ["y"], domain=domain)
        return helper.make_function("local", f"f{number}", ["x"], ["y"], [node], sets)

    first = helper.make_node("f0", ["image"], ["made"], domain="local")
    return _model([first], {}, list(map(function, range(depth))))


def _branches(times: int, random: Random) -> object:
    """Conditions in conditions, or loops in loops of many rounds."""
    from onnx import TensorProto, helper

    out = [helper.make_tensor_value_info("made", TensorProto.FLOAT, None)]
    inner = [helper.make_node("Identity", ["image"], ["made"])]
    for _ in range(random.randint(1, min(times, 40))):
        branch = helper.make_graph(inner, "branch", [], out)
        inner = [helper.make_node("If", ["yes"], ["made"], then_branch=branch, else_branch=branch)]
        if len(branch.SerializeToString()) > 2**22:
            break
    return _model(inner, {"yes": np.array(True)})


def _loop(times: int, random: Random) -> object:
    """A loop of any number of rounds."""
    from onnx import TensorProto, helper

    def value(name: str, kind: int, shape: list[int] | None) -> object:
        return helper.make_tensor_value_info(name, kind, shape)

    floats, yes = TensorProto.FLOAT, TensorProto.BOOL
    nodes = [helper.make_node("Identity", ["go"], ["on"]),
             helper.make_node("Add", ["before", "before"], ["after"])]  # fmt: skip
    inputs = [value("round", TensorProto.INT64, []), value("go", yes, []),
              value("before", floats, None)]  # fmt: skip
    body = helper.make_graph(nodes, "body", inputs,
                             [value("on", yes, []), value("after", floats, None)])  # fmt: skip
    loop = helper.make_node("Loop", ["rounds", "yes", "image"], ["made"], body=body)
    return _model([loop], {"rounds": np.array(times**4), "yes": np.array(True)})


def _images(times: int, random: Random) -> object:
    from onnx import helper

    return _model([helper.make_node("Identity", ["image"], ["made"])], {}, batch=times * 100)


def saved_model(folder: Path, random: Random) -> None:
    """Numbers of any size whose sum is added."""
    import tensorflow as tf

    side = int(10 ** random.uniform(0, 4.8))

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32)])
        def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
            large = tf.fill([tf.shape(image)[1] * side, side], image[0, 0, 0, 0])
            return {"logits": tf.reshape(image, (-1, SIDE * SIDE))[:, :2] + tf.reduce_sum(large)}

    shutil.rmtree(folder / "model")
    model = Model()
    tf.saved_model.save(model, str(folder / "model"), signatures=model.__call__)
