"""Fully connected weights of one scale: right on runtimes that take the first channel's for all."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers

from keras_kd import exporters
from keras_kd.exporters import _dense_weights, bundle
from keras_kd.runtimes import tflite_graph

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def model():
    """Two dense layers, one without bias, whose columns differ by factors of up to 30."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.Dense(240, activation="relu", use_bias=False)(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(5, bias_initializer="random_normal")(x))
    for layer in model.layers[-2:]:
        kernel, *bias = layer.get_weights()
        layer.set_weights([kernel * np.geomspace(0.1, 3, kernel.shape[1]), *bias])
    return model


def _converted(model, calibrated):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibrated:
        images = IMAGES.astype(np.float32)
        converter.representative_dataset = lambda: ([image[None]] for image in images)
    return converter.convert()


def _dense(content):
    """(weights, bias) of each fully connected operator in numbers, with the weights' scales."""
    # Delegates list one scale as many.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    details = {one["index"]: one for one in interpreter.get_tensor_details()}
    found = []
    for operator in interpreter._get_ops_details():
        if operator["op_name"] == "FULLY_CONNECTED":
            kept = [index for index in operator["inputs"][1:] if index >= 0]
            found.append(
                [(_numbers(interpreter, details[index]), details[index]) for index in kept]
            )
    return found


def _numbers(interpreter, tensor):
    values = interpreter.get_tensor(tensor["index"]).astype(np.float64)
    scales = tensor["quantization_parameters"]["scales"]
    return (values.T * (scales if len(scales) else 1)).T


@pytest.mark.parametrize("calibrated", [True, False], ids=["int8", "dynamic"])
def test_weights_and_biases_stay_within_half_a_step(model, calibrated):
    before = _converted(model, calibrated)
    after = _dense_weights.with_one_scale(before)
    pairs = list(zip(_dense(before), _dense(after), strict=True))
    assert len(pairs) == 2
    for old, new in pairs:
        assert len(old[0][1]["quantization_parameters"]["scales"]) > 1
        for (exact, _), (rounded, tensor) in zip(old, new, strict=True):
            scales = tensor["quantization_parameters"]["scales"]
            assert len(scales) == 1 or tensor["dtype"] == np.float32
            step = scales[0] if len(scales) else 0
            assert np.abs(exact - rounded).max() <= step / 2 * (1 + 1e-6)
    assert _dense_weights.with_one_scale(after) is after
    versions = [code.version for code in _codes(after)]
    # TensorFlow Lite 2.8 knows up to 9 of them.
    assert versions and max(versions) <= 9


def _codes(content):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    return [code for code in model.operatorCodes
            if code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED]  # fmt: skip


@pytest.mark.parametrize("format", ["int8", "dynamic"])
def test_exported_files_have_no_dense_weights_of_several_scales(format, model, tmp_path):
    path = exporters.export(model, tmp_path / "m.tflite", format, IMAGES, min_agreement=0.8).path
    dense = [one for one in tflite_graph.read(path) if one.name == "FULLY_CONNECTED"]
    assert [one.inputs[1].scales for one in dense] == [1, 1]
    known = bundle.minimum_runtimes(path)
    assert "Lite 2.8" in known and "WebGPU" in known
    exact = exporters.export(model, tmp_path / "exact.tflite", "float32", IMAGES).path
    assert "WebGPU" not in bundle.minimum_runtimes(exact)
    other = tmp_path / "other.tflite"
    other.write_bytes(_converted(model, True))
    assert "Lite 2.10" in bundle.minimum_runtimes(other)


def test_a_layer_of_zeros_and_a_float_file_pass(model):
    image = keras.Input((8, 8, 3))
    zeros = layers.Dense(4, kernel_initializer="zeros")(layers.Flatten()(image))
    content = _dense_weights.with_one_scale(_converted(keras.Model(image, zeros), True))
    assert all(np.isfinite(values).all() for parts in _dense(content) for values, _ in parts)
    exact = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    assert _dense_weights.with_one_scale(exact) is exact
