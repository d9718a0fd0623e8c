"""Files of several signatures: the one that is served, or a refusal."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_kd.errors import ModelError
from keras_kd.exporters.bundle import SHIPPED
from keras_kd.runtimes import multiply_accumulates, tflite_file
from keras_kd.runtimes.litert import LiteRTModel


def _with_signatures(path: Path, names: list[str], graphs: list[int]) -> Path:
    """B's file with its graph twice, and signatures of either."""
    model = tflite_file.unpacked((SHIPPED / "model.tflite").read_bytes())
    model.subgraphs.append(copy.deepcopy(model.subgraphs[0]))
    # The second graph's output is another tensor, so that it can be told from the first.
    model.subgraphs[1].outputs = [model.subgraphs[1].operators[-2].outputs[0]]
    (signature,) = model.signatureDefs
    model.signatureDefs = []
    for name, graph in zip(names, graphs, strict=True):
        one = copy.deepcopy(signature)
        one.signatureKey, one.subgraphIndex = name.encode(), graph
        one.outputs[0].tensorIndex = model.subgraphs[graph].outputs[0]
        model.signatureDefs.append(one)
    path.write_bytes(tflite_file.packed(model))
    return path


def test_the_served_signature_is_taken_if_it_is_the_main_graph(tmp_path: Path) -> None:
    names = ["calibrate", "serving_default"]
    file = _with_signatures(tmp_path / "a.tflite", names, [1, 0])
    shipped = LiteRTModel(SHIPPED / "model.tflite")
    assert LiteRTModel(file, trusted=True).output_indices == shipped.output_indices


@pytest.mark.parametrize(
    ("names", "graphs"),
    [(["calibrate", "serving_default"], [0, 1]), (["features"], [1])],
)
def test_the_served_signature_is_computed_where_it_is_another_graph(
    names: list[str], graphs: list[int], tmp_path: Path
) -> None:
    file = _with_signatures(tmp_path / "a.tflite", names, graphs)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1), np.uint8)
    served = LiteRTModel(file, trusted=True)
    # LiteRT's own runner of the signature, in the file as it is.
    runner = Interpreter(model_path=str(file)).get_signature_runner(names[-1])
    (given,), (output,) = runner.get_input_details(), runner.get_output_details().values()
    scale, zero_point = output["quantization"]
    for image, found in zip(images, served.predict(images), strict=True):
        (expected,) = runner(**{given: served.as_input(image[None])}).values()
        np.testing.assert_allclose(
            found, scale * (expected.ravel().astype(float) - zero_point), rtol=1e-6
        )
    # The main graph turns the second one's integers into float32.
    main = LiteRTModel(SHIPPED / "model.tflite")
    assert [*main.output_dtypes.values()] == [np.float32]
    assert [*served.output_dtypes.values()] == [np.int8]
    with pytest.raises(ModelError, match="serves a signature that is not its main graph"):
        served.require_one_image()


def test_several_signatures_of_which_none_is_served_are_listed(tmp_path: Path) -> None:
    file = _with_signatures(tmp_path / "a.tflite", ["features", "scores"], [0, 1])
    with pytest.raises(ModelError, match="signatures features, scores: expected one alone"):
        LiteRTModel(file, trusted=True)


def _called(path: Path) -> Path:
    """B's file in which the main graph only runs the second one, beside a third that nobody
    runs.
    """
    model = tflite_file.unpacked((SHIPPED / "model.tflite").read_bytes())
    main = model.subgraphs[0]
    model.subgraphs = [main, *(copy.deepcopy(main) for _ in range(2))]
    code, call, options = schema.OperatorCodeT(), schema.OperatorT(), schema.CallOptionsT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CALL
    options.subgraph = 1
    call.opcodeIndex, call.builtinOptions = len(model.operatorCodes), options
    call.builtinOptionsType = schema.BuiltinOptions.CallOptions
    call.inputs, call.outputs = main.inputs, main.outputs
    model.operatorCodes.append(code)
    main.operators = [call]
    path.write_bytes(tflite_file.packed(model))
    return path


@pytest.mark.parametrize("make", ["signatures", "called"])
def test_what_a_run_computes_is_counted_once(make: str, tmp_path: Path) -> None:
    file, names = tmp_path / "a.tflite", ["calibrate", "serving_default"]
    file = _called(file) if make == "called" else _with_signatures(file, names, [1, 0])
    for count in (
        multiply_accumulates.of_tflite,
        multiply_accumulates.parameters,
        multiply_accumulates.live_taps,
    ):
        assert count(file) == count(SHIPPED / "model.tflite")
