"""int8 weights in forms that all runtimes compute right, and what cards say of other forms."""

from __future__ import annotations

import flatbuffers
import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers

from keras_kd import exporters
from keras_kd.exporters import bundle
from keras_kd.exporters._tflite_passes import integer_weights
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


KINDS = pytest.mark.parametrize("activations", ["int8", "int16", None])


def _converted(model, activations):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if activations:
        images = IMAGES.astype(np.float32)
        converter.representative_dataset = lambda: ([image[None]] for image in images)
    if activations == "int16":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
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


@KINDS
def test_weights_and_biases_stay_within_half_a_step(model, activations):
    before = _converted(model, activations)
    after = integer_weights.right_on_all_runtimes(before)
    pairs = list(zip(_dense(before), _dense(after), strict=True))
    assert len(pairs) == 2
    for old, new in pairs:
        assert len(old[0][1]["quantization_parameters"]["scales"]) > 1
        for (exact, _), (rounded, tensor) in zip(old, new, strict=True):
            scales = tensor["quantization_parameters"]["scales"]
            assert len(scales) == 1 or tensor["dtype"] == np.float32
            step = scales[0] if len(scales) else 0
            assert np.abs(exact - rounded).max() <= step / 2 * (1 + 1e-6)
    assert integer_weights.right_on_all_runtimes(after) is after
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
    assert "Lite 2.8 or later" in bundle.minimum_runtimes(path)
    other = tmp_path / "other.tflite"
    other.write_bytes(_converted(model, True))
    assert "Lite 2.10" in bundle.minimum_runtimes(other)


def test_a_layer_of_zeros_and_a_float_file_pass(model):
    image = keras.Input((8, 8, 3))
    zeros = layers.Dense(4, kernel_initializer="zeros")(layers.Flatten()(image))
    content = integer_weights.right_on_all_runtimes(_converted(keras.Model(image, zeros), True))
    assert all(np.isfinite(values).all() for parts in _dense(content) for values, _ in parts)
    exact = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    assert integer_weights.right_on_all_runtimes(exact) is exact


def _twice(shift):
    """A model that calls one dense layer on inputs of two ranges."""
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.Conv2D(2, 3, activation="relu")(layers.Rescaling(1 / 255)(image)))
    bias = keras.initializers.RandomNormal(0, shift, seed=1)
    dense = layers.Dense(72, "relu", bias_initializer=bias)
    return keras.Model(image, dense(dense(x)))


def test_a_dense_layer_that_is_called_twice_has_both_biases_rescaled(tmp_path):
    keras.utils.set_random_seed(0)
    model = _twice(3.0)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * np.geomspace(0.02, 3, 72), bias])
    path = exporters.export(
        model, tmp_path / "m.tflite", "int8", IMAGES, io="int8", min_agreement=0.5
    ).path
    dense = [one for one in tflite_graph.read(path) if one.name == "FULLY_CONNECTED"]
    assert len(dense) == 2
    for one in dense:
        image, weights, offset = one.inputs
        assert weights.scales == 1
        assert offset.scale == pytest.approx(image.scale * weights.scale, rel=1e-5)
        numbers = offset.values.view(np.int32) * offset.scale
        np.testing.assert_allclose(numbers, bias, atol=offset.scale)


def test_dense_layers_of_one_place_have_outputs_of_two_axes(tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    squeezed = layers.Dense(8, "relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, layers.Dense(16, "sigmoid")(squeezed)])
    model = keras.Model(image, layers.Dense(5)(layers.Flatten()(x)))
    path = exporters.export(model, tmp_path / "m.tflite", "int8", IMAGES, min_agreement=0.5).path
    dense = [one for one in tflite_graph.read(path) if one.name == "FULLY_CONNECTED"]
    assert [one.outputs[0].shape for one in dense] == [(1, 8), (1, 16), (1, 5)]
    assert integer_weights.right_on_all_runtimes(path.read_bytes()) == path.read_bytes()
    plain = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    plain.allocate_tensors()
    rows = []
    for pixels in IMAGES.astype(np.float32):
        plain.set_tensor(plain.get_input_details()[0]["index"], pixels[None])
        plain.invoke()
        rows.append(plain.get_tensor(plain.get_output_details()[0]["index"])[0])
    expected = model.predict(IMAGES.astype(np.float32), verbose=0)
    assert np.abs(np.array(rows) - expected).max() < 0.1 * np.ptp(expected)


def _strided():
    """Two 1x1 convolutions with strides, one on an odd size, and one without.

    Smaller weights would stay floats in dynamic files.
    """
    keras.utils.set_random_seed(0)
    image = keras.Input((9, 12, 3))
    x = layers.Conv2D(40, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.Conv2D(40, 1, strides=(2, 2), padding="valid", activation="relu")(x)
    x = layers.Conv2D(40, 1, strides=(3, 3), padding="same")(x)
    return keras.Model(image, layers.Dense(5)(layers.Flatten()(layers.Conv2D(40, 1)(x))))


@pytest.mark.parametrize("calibrated", [True, False], ids=["int8", "dynamic"])
def test_strided_pointwise_convolutions_lose_their_strides_and_answer_the_same(
    calibrated, tmp_path
):
    images = np.random.default_rng(1).integers(0, 256, (20, 9, 12, 3)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(_strided())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibrated:
        converter.representative_dataset = lambda: ([image[None]] for image in images)
    before, after = tmp_path / "before.tflite", tmp_path / "after.tflite"
    before.write_bytes(converter.convert())
    after.write_bytes(integer_weights.right_on_all_runtimes(before.read_bytes()))
    assert "GPU" in bundle.minimum_runtimes(before)
    assert "GPU" not in bundle.minimum_runtimes(after)
    operators = tflite_graph.read(after)
    kernels = [
        (one.name, one.inputs[0].dtype, one.inputs[1].shape[1:3])
        for one in operators
        if "CONV_2D" in one.name
    ][-5:]
    dtype = "int8" if calibrated else "float32"
    # 9x12 by strides of 2, 5x6 by strides of 3, 2x2 by 1.
    assert kernels == [
        ("DEPTHWISE_CONV_2D", dtype, (2, 2)), ("CONV_2D", dtype, (1, 1)),
        ("DEPTHWISE_CONV_2D", dtype, (3, 3)), ("CONV_2D", dtype, (1, 1)),
        ("CONV_2D", dtype, (1, 1)),
    ]  # fmt: skip
    # The dense layer's weights are rounded anew in both: only the convolutions are compared.
    rows = [_features(path, images) for path in (before, after)]
    # In dynamic files the range of an input is that of the pixels that are chosen.
    np.testing.assert_allclose(*rows, rtol=0, atol=0 if calibrated else 0.005)


def _features(path, images):
    """The input of the dense layer, by the plain kernels."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        str(path), experimental_op_resolver_type=plain, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    dense = next(one for one in tflite_graph.read(path) if one.name == "FULLY_CONNECTED")
    rows = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(dense.inputs[0].index).copy())
    return np.concatenate(rows)


@pytest.mark.parametrize(
    ("name", "version", "release"),
    [
        ("CAST", 3, "2.8"),
        ("CAST", 4, "2.9"),  # of runtime_version.cc
        ("FULLY_CONNECTED", 12, "2.17"),
        ("GELU", 1, "2.9"),
        ("SOFTMAX", 99, "lacks"),
        ("TILE", 1, "2.8"),
        ("STABLEHLO_SORT", 1, "lacks"),  # which runtime_version.cc lacks
    ],
)
def test_the_oldest_runtime_follows_the_operators_versions(name, version, release, tmp_path):
    model = schema.ModelT()
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
    graph, operator = schema.SubGraphT(), schema.OperatorT()
    operator.inputs, operator.outputs, graph.operators = [], [], [operator]
    graph.tensors, model.operatorCodes, model.subgraphs = [], [code], [graph]
    builder = flatbuffers.Builder(64)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "m.tflite"
    path.write_bytes(bytes(builder.Output()))
    assert release in bundle.minimum_runtimes(path)
