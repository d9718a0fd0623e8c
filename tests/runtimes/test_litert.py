"""Running `.tflite` files: numbers against hand-computed ones, bad files in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_kd.errors import ModelError
from keras_kd.runtimes import litert, predictors, tflite_file, tflite_operators


def _converted(function, folder, name="model.tflite", configure=lambda converter: None):
    """Convert a tf.function of one image (1, 2, 2, 1) with plain TensorFlow."""
    module = tf.Module()
    module.serve = tf.function(
        function, input_signature=[tf.TensorSpec((1, 2, 2, 1), tf.float32, name="image")]
    )
    tf.saved_model.save(module, str(folder / "saved"), signatures={"serve": module.serve})
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder / "saved"), signature_keys=["serve"]
    )
    configure(converter)
    path = folder / name
    path.write_bytes(converter.convert())
    return path


def _two_sums(image):
    total = tf.reduce_sum(image, axis=(1, 2))
    return {"sums": tf.concat([total, 2 * total], axis=1)}


IMAGES = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
SUMS = np.array([[6, 12], [22, 44], [38, 76]], np.float32)


def test_predict_gives_the_sums_of_the_pixels(tmp_path):
    model = litert.LiteRTModel(_converted(_two_sums, tmp_path))
    assert (model.input_shape, model.input_dtype, model.output_shapes) == (
        (2, 2, 1),
        np.float32,
        {"sums": (2,)},
    )
    np.testing.assert_array_equal(model.predict(IMAGES), SUMS)


def test_quantized_input_and_output_are_scaled(tmp_path):
    def configure(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [image[None].astype(np.float32)] for image in IMAGES
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8

    model = litert.LiteRTModel(_converted(_two_sums, tmp_path, configure=configure))
    assert model.input_dtype == np.int8
    # 255 steps between 0 and 76.
    np.testing.assert_allclose(model.predict(IMAGES), SUMS, atol=3 * 76 / 255)


def test_several_outputs_by_name(tmp_path):
    def heads(image):
        return {"first": image[:, 0, 0], "largest": tf.reduce_max(image, axis=(1, 2))}

    model = litert.LiteRTModel(_converted(heads, tmp_path))
    results = model.predict_heads(IMAGES)
    np.testing.assert_array_equal(results["first"], [[0], [4], [8]])
    np.testing.assert_array_equal(results["largest"], [[3], [7], [11]])
    with pytest.raises(ModelError, match="several outputs"):
        model.predict(IMAGES)


def test_more_threads_change_no_answer():
    file = Path(__file__).parents[2] / "exports" / "vgg9-slim" / "model.tflite"
    images = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 1), np.uint8)
    one, many = (litert.LiteRTModel(file, threads).predict(images) for threads in (1, 4))
    np.testing.assert_array_equal(one, many)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted by Linux")
def test_a_predictor_uses_up_to_four_threads(monkeypatch):
    file = Path(__file__).parents[2] / "exports" / "vgg9-slim" / "model.tflite"
    kept = []
    for cores, threads in ((1, 1), (3, 3), (64, 4)):
        monkeypatch.setattr("keras_kd.runtimes._litert_predictor.cores", lambda cores=cores: cores)
        before = len(list(Path("/proc/self/task").iterdir()))
        kept.append(predictors.load(file))
        # The calling thread is one of them.
        assert len(list(Path("/proc/self/task").iterdir())) - before == threads - 1


def test_images_of_another_shape_are_refused(tmp_path):
    model = litert.LiteRTModel(_converted(_two_sums, tmp_path))
    with pytest.raises(ModelError, match=r"shape \(2, 2, 1\), received \(4, 4, 3\)"):
        model.predict(np.zeros((1, 4, 4, 3), np.uint8))


def test_operators_are_counted(tmp_path):
    path = _converted(
        lambda image: {"y": tf.reduce_max(tf.exp(image) + tf.sin(image), axis=(1, 2))}, tmp_path
    )
    assert tflite_operators.counts(path) == {"EXP": 1, "SIN": 1, "ADD": 1, "REDUCE_MAX": 1}
    assert tflite_operators.custom_or_flex(path) == []


def test_flex_operators_are_found(tmp_path):
    def flex(converter):
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]

    path = _converted(
        lambda image: {"y": tf.linalg.det(image[:, :, :, 0])}, tmp_path, configure=flex
    )
    assert tflite_operators.custom_or_flex(path) == ["CUSTOM:FlexMatrixDeterminant"]
    with pytest.raises(ModelError, match="holds operators .*FlexMatrixDeterminant"):
        litert.LiteRTModel(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = _converted(_two_sums, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"model\.tflite"):
        litert.LiteRTModel(path)


def test_a_missing_file_and_another_form_are_refused(tmp_path):
    with pytest.raises(ModelError, match="can't be read"):
        tflite_operators.counts(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("no model at all")
    with pytest.raises(ModelError, match="TFL3"):
        tflite_operators.counts(tmp_path / "text.tflite")


def test_loading_prints_nothing(tmp_path, capfd):
    path = _converted(_two_sums, tmp_path)
    capfd.readouterr()
    litert.LiteRTModel(path).predict(IMAGES)
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_fails_in_a_loop_is_named_with_the_loop(tmp_path: Path) -> None:
    table = tf.constant(np.arange(4, dtype=np.float32))

    def looped(image):
        row = tf.reshape(image, (1, 4))
        first = tf.gather(table, tf.cast(row, tf.int32))

        def body(i, total):
            # Beyond the table's end.
            return i + 1, total + tf.gather(table, tf.cast(row * 50.0, tf.int32))

        return {"scores": tf.exp(tf.while_loop(lambda i, _: i < 3, body, (0, first))[1])}

    path = _converted(looped, tmp_path)
    with pytest.raises(RuntimeError) as raised:
        litert.LiteRTModel(path, trusted=True).predict_heads(np.ones((1, 2, 2, 1), np.float32))
    assert re.fullmatch(r"GATHER in WHILE of .* fails", litert.stopped(path, raised.value))


def test_an_operator_that_fails_for_some_pixels_is_named(tmp_path: Path) -> None:
    table = tf.constant(np.arange(100, dtype=np.float32))

    def looked_up(image):
        return {"scores": tf.gather(table, tf.cast(tf.reshape(image, (1, 4)), tf.int32))}

    path = _converted(looked_up, tmp_path)
    with pytest.raises(ModelError, match=r"can't compute .*model\.tflite .*\(GATHER of .* fails\)"):
        predictors.load(path)  # shows it noise


def test_a_recurrent_layer_begins_anew_with_each_image(tmp_path):
    tf_keras = pytest.importorskip("tf_keras", reason="its LSTM becomes one operator with a state")
    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    stack = [layers.Reshape((4, 12)), layers.LSTM(8, bias_initializer="ones"), layers.Dense(3)]
    model = tf_keras.Sequential([tf_keras.Input((4, 4, 3)), *stack])
    function = tf.function(lambda image: model(image, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, 4, 4, 3)))
    path = tmp_path / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert())
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in tflite_operators.counts(path)
    assert tflite_operators.keeps_state(path)
    images = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype(np.float32)
    found = litert.LiteRTModel(path, trusted=True).predict(images)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=1e-5)


def test_a_file_that_changes_a_variable_with_each_image_is_refused(tmp_path):
    module = tf.Module()
    module.mean = tf.Variable(tf.zeros((1, 3)))

    def running_mean(image):
        module.mean.assign(0.5 * module.mean + tf.reduce_mean(image, axis=(1, 2)))
        return module.mean.read_value()

    shown = tf.TensorSpec((1, 4, 4, 3), name="image")
    module.serve = tf.function(running_mean, input_signature=[shown])
    concrete = module.serve.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.experimental_enable_resource_variables = True
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    with pytest.raises(ModelError, match="changes a variable with each image"):
        litert.LiteRTModel(tmp_path / "model.tflite")


def test_outputs_whose_names_were_stripped_are_told_apart(tmp_path):
    path = _converted(lambda image: {"a": image[:, 0, 0], "b": image[:, :, 0, 0]}, tmp_path)
    model = tflite_file.unpacked(path.read_bytes())
    model.signatureDefs = None
    for index in model.subgraphs[0].outputs:
        model.subgraphs[0].tensors[index].name = b""
    path.write_bytes(tflite_file.packed(model))
    found = litert.LiteRTModel(path, trusted=True).output_shapes
    assert sorted(found) == ["output_0", "output_1"] and sorted(found.values()) == [(1,), (2,)]
