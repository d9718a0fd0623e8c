"""Models that are programs: what doesn't compute alone is refused by its name, and is never run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from keras_kd import exporters
from keras_kd.errors import ModelError
from keras_kd.runtimes import _saved_model_operations, predictors

SHIPPED = Path(__file__).parents[2] / "exports" / "C" / "model.tflite"
IMAGES = np.zeros((1, 16, 16, 3), np.uint8)


def _model() -> keras.Model:
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(2, 3)(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def _folder(path: Path, extra: Callable[[Any], Any], initial: bool = False) -> Path:
    """A SavedModel that does something extra in its signature, or when it is loaded."""

    class Program(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.float32, name="image")])
        def serve(self, image: Any) -> dict[str, Any]:
            total = tf.reduce_mean(image, (1, 2))
            if not initial:
                total = tf.cond(tf.size(image) > 0, lambda: total + extra(image), lambda: total)
            return {"logits": total}

    program = Program()
    if initial:
        lines = path.with_suffix(".txt")
        lines.write_text("a\nb\n")
        table = tf.lookup.TextFileInitializer(
            str(lines), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, -1
        )
        program.table = tf.lookup.StaticHashTable(table, -1)
        program.used = tf.function(program.table.lookup, [tf.TensorSpec((None,), tf.string)])
    tf.saved_model.save(program, str(path), {"serving_default": program.serve})
    return path


def _printed(image: Any) -> float:
    tf.print("printed")
    return 0.0


def _python(image: Any) -> Any:
    return tf.reshape(tf.py_function(lambda: 0.0, [], tf.float32), ())


def _read(image: Any) -> Any:
    return tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def _listed(image: Any) -> Any:
    return tf.cast(tf.size(tf.io.matching_files("/etc/host*")), tf.float32)


@pytest.mark.parametrize(
    ("extra", "operation"),
    [
        (_printed, "PrintV2|StringFormat"),
        (_python, "EagerPyFunc"),
        (_read, "ReadFile|StringLength"),
        (_listed, "MatchingFiles"),
        (None, "HashTableV2|InitializeTableFromTextFileV2|LookupTableFindV2"),
    ],
)  # fmt: skip
def test_a_saved_model_that_does_more_than_compute_is_refused(
    extra: Any, operation: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = _folder(tmp_path / "model", extra, initial=extra is None)
    with pytest.raises(
        ModelError, match=rf"model holds the operation ({operation}) .*compute alone"
    ):
        predictors.load(path)
    assert "printed" not in capfd.readouterr().err


def test_the_operations_that_reach_outside_are_not_on_the_list() -> None:
    outside = (
        "Abort DebugIdentity EagerPyFunc HashTableV2 ImmutableConst InitializeTableFromTextFileV2"
        " LoadAndRemapMatrix MatchingFiles MergeV2Checkpoints PrintV2 PyFunc PyFuncStateless"
        " ReadFile RemoteCall RestoreV2 SaveV2 TextLineDataset WholeFileReaderV2 WriteFile"
        " XlaCallModule"
    )
    assert not _saved_model_operations.computing() & set(outside.split())


def test_saved_models_that_compute_are_read(tmp_path: Path) -> None:
    model = _model()
    model.export(tmp_path / "new", verbose=False)
    expected = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(
        predictors.load(tmp_path / "new").logits(IMAGES), expected, atol=1e-6
    )
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        image = tf.compat.v1.placeholder(tf.float32, (None, 16, 16, 3))
        weights = tf.compat.v1.get_variable("weights", (768, 3))
        session.run(tf.compat.v1.global_variables_initializer())
        logits = tf.matmul(tf.reshape(image, (-1, 768)), weights)
        tf.compat.v1.saved_model.simple_save(
            session, str(tmp_path / "old"), {"image": image}, {"logits": logits}
        )
    assert predictors.load(tmp_path / "old").logits(IMAGES).shape == (1, 3)


def test_a_damaged_saved_model_is_refused(tmp_path: Path) -> None:
    _model().export(tmp_path / "model", verbose=False)
    file = tmp_path / "model" / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="saved_model.pb is cut short or damaged"):
        predictors.load(tmp_path / "model")
    file.unlink()
    with pytest.raises(ModelError, match="model is no SavedModel: it has no file saved_model.pb"):
        predictors.load(tmp_path / "model")


def test_custom_and_flex_operators_of_a_tflite_file_are_refused_by_name(tmp_path: Path) -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(SHIPPED.read_bytes(), 0))
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    model.operatorCodes[0].customCode = b"FlexReadFile"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "model.tflite").write_bytes(builder.Output())
    with pytest.raises(ModelError, match="LiteRT doesn't build in .CUSTOM:FlexReadFile"):
        predictors.load(tmp_path / "model.tflite")


def _with_external_weights(path: Path, place: str) -> Path:
    onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    weights = onnx.TensorProto(
        name="weights", dims=[3, 3], data_type=number, data_location=onnx.TensorProto.EXTERNAL
    )
    for key, value in {"location": place, "offset": "0", "length": "36"}.items():
        weights.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ],
        "graph",
        [helper.make_tensor_value_info("image", number, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", number, ["n", 3])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_external_weights_of_an_onnx_file_count_and_lie_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.eye(3, dtype=np.float32).tobytes())
    path = _with_external_weights(tmp_path / "model.onnx", "weights.bin")
    before = predictors.load(path).fingerprint
    assert predictors.load(path).fingerprint == before
    (tmp_path / "weights.bin").write_bytes((2 * np.eye(3, dtype=np.float32)).tobytes())
    assert predictors.load(path).fingerprint != before
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "weights.bin").write_bytes(bytes(36))
    (tmp_path / "link.bin").symlink_to(tmp_path / "away" / "weights.bin")
    inner = tmp_path / "away" / "model.onnx"
    for file, place in ((path, "link.bin"), (inner, "../weights.bin"), (path, "none.bin"),
                        (path, str(tmp_path / "weights.bin"))):  # fmt: skip
        with pytest.raises(ModelError, match="has weights in .* no file in its folder"):
            predictors.load(_with_external_weights(file, place))


def test_exported_onnx_files_are_read(tmp_path: Path) -> None:
    for package in ("tf2onnx", "onnxruntime"):
        pytest.importorskip(package, reason="the extra `onnx` is not installed")
    exporters.export(_model(), tmp_path / "model.onnx", "onnx")
    assert predictors.load(tmp_path / "model.onnx").logits(IMAGES).shape == (1, 3)
