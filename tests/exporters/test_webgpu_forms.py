"""Graphs that LiteRT.js computes wrongly by WebGPU, without an error, in forms that it computes
right: int8 tensors of one rank, and slices in place of splits of floats.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_kd import exporters
from keras_kd.errors import ExportError
from keras_kd.exporters import bundle, targets
from keras_kd.exporters._tflite_passes import float_splits
from keras_kd.exporters._tflite_passes.equal_ranks import with_equal_ranks
from keras_kd.runtimes import operator_support, tflite_graph
from keras_kd.runtimes.tflite_file import packed

RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.normal(size=(20, 6, 8)).astype(np.float32)
KERNEL = tf.constant(RANDOM.normal(size=(8, 4)).astype(np.float32))


def _rows(x):
    """The converter gives a dense layer of (1, 6, 8) an output of two axes."""
    return tf.nn.relu(tf.matmul(tf.reshape(2 * x + tf.nn.relu(x), (6, 8)), KERNEL))


def _lower(x):
    return x * tf.reduce_mean(x, 1) + tf.reshape(tf.nn.relu(x), (6, 8))


def _read_twice(x):
    rows = tf.reshape(tf.nn.relu(x), (6, 8))
    return tf.concat([tf.nn.relu(x) * x + rows, rows[None] * tf.reduce_mean(rows, 0)], 0)


def _gate(x):
    first, second = tf.split(x, 2, -1)
    head, _, tail = tf.split(x, (1, 2, 5), 2)
    return tf.concat([second * tf.sigmoid(first), head + tail], 2)


def _converted(function, integers):
    """What TensorFlow's converter alone writes of a function of tokens."""
    one = tf.function(function, input_signature=[tf.TensorSpec((1, 6, 8), name="x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([one.get_concrete_function()], one)
    if integers:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([tokens[None]] for tokens in TOKENS)
    return converter.convert()


def _with_equal_ranks(content):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    assert with_equal_ranks(model, model.subgraphs[0])
    assert not with_equal_ranks(model, model.subgraphs[0])
    return packed(model)


def _answers(content):
    interpreter, rows = Interpreter(model_content=content), []
    interpreter.allocate_tensors()
    for tokens in TOKENS:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tokens[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.array(rows)


@pytest.mark.parametrize(
    ("function", "integers", "mended", "named"),
    [
        (_rows, True, _with_equal_ranks, r"FULLY_CONNECTED \(int8 rows"),
        (_lower, True, _with_equal_ranks, r"MUL \(int8 operands of different ranks.*ADD \(int8"),
        (_read_twice, True, _with_equal_ranks, r"\(int8 operands of different ranks"),
        (_gate, False, float_splits.without_splits, r"SPLIT \(floats.*SPLIT_V \(floats"),
    ],
)
def test_what_is_wrong_is_refused_and_its_right_form_is_equal_to_the_last_bit(
    function, integers, mended, named, tmp_path
):
    before = _converted(function, integers)
    after = mended(before)
    path = tmp_path / "m.tflite"
    path.write_bytes(before)
    with pytest.raises(ExportError, match=f"target web .*{named}"):
        targets.prove("web", path)
    assert "not right on LiteRT's GPUs" in bundle.minimum_runtimes(path)
    path.write_bytes(after)
    assert targets.prove("web", path) and "GPUs" not in bundle.minimum_runtimes(path)
    assert np.ptp(_answers(before)) > 1
    np.testing.assert_array_equal(_answers(after), _answers(before))


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: tf.gather(x, [0, 2, 1], axis=1) + 1, "GATHER"),
        (lambda x: tf.nn.relu(x)[:, 0], "STRIDED_SLICE .*an axis"),
        (lambda x: x * tf.reduce_mean(x), "MEAN .*no axis"),
        (lambda x: tf.transpose(tf.reshape(x, (1, 2, 3, 2, 4)), (0, 2, 1, 4, 3)), "more than four"),
    ],
)
def test_what_webgpu_refuses_is_refused_here(function, named, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(_converted(function, False))
    with pytest.raises(ExportError, match=f"target web .*{named}"):
        targets.prove("web", path)


def test_a_float_file_without_splits_stays():
    content = _converted(_rows, False)
    assert float_splits.without_splits(content) is content


@pytest.mark.parametrize("format", ["int8", "float32", "dynamic"])
def test_exported_files_have_none_of_it(format, tmp_path):
    """Keras writes the mean of two heads as BiasAdd of (5,), and a gate as a split."""
    keras.utils.set_random_seed(0)
    images = RANDOM.integers(0, 256, (20, 8, 8, 1), np.uint8)
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, 2, "same", activation="relu")(layers.Rescaling(1 / 255)(image))
    first, second = keras.ops.split(x, 2, axis=-1)
    x = layers.Flatten()(second * keras.ops.sigmoid(first))
    model = keras.Model(image, layers.Average()([layers.Dense(5)(x), layers.Dense(5)(x)]))
    path = tmp_path / "m.tflite"
    exporters.export(model, path, format, images, min_agreement=0.5)
    assert operator_support.against(path, operator_support.wrong_on_gpus) == []
    names = [one.name for one in tflite_graph.read(path)]
    assert names.count("SLICE") == (0 if format == "int8" else 2)
    [heads] = [one for one in tflite_graph.read(path) if one.name == "ADD"]
    ranks = {len(tensor.shape) for tensor in heads.inputs}
    assert len(ranks) == 1 or format != "int8"
