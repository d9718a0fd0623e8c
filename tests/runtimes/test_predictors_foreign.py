"""Teachers from elsewhere: ONNX files, SavedModel folders and Keras 2 files, compared with sums
done by hand.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd import exporters
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.runtimes import predictors
from keras_kd.runtimes.stated import Stated

WEIGHTS = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
BIAS = np.array([0.5, -1, 0, 2], np.float32)
IMAGES = np.random.default_rng(4).integers(0, 256, (5, 8, 10, 3), np.uint8)


def _logits(images):
    """The mean of each channel, times WEIGHTS."""
    return images.astype(np.float64).mean(axis=(1, 2)) @ WEIGHTS + BIAS


def _onnx(path, shape, channels_last, kind="FLOAT", outputs=1):
    onnx = pytest.importorskip("onnx", reason="ONNX files are made with onnx (the extra onnx)")
    pytest.importorskip("onnxruntime", reason="ONNX files run on onnxruntime (the extra onnx)")
    helper, types = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=types.FLOAT),
        helper.make_node(
            "ReduceMean",
            ["floats"],
            ["means"],
            axes=[1, 2] if channels_last else [2, 3],
            keepdims=0,
        ),
        helper.make_node("Gemm", ["means", "weights", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", getattr(types, kind), shape)],
        [
            helper.make_tensor_value_info(name, types.FLOAT, None)
            for name in ("logits", "means")[:outputs]
        ],
        [
            onnx.numpy_helper.from_array(WEIGHTS, "weights"),
            onnx.numpy_helper.from_array(BIAS, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("shape", "channels_last", "kind"),
    [
        ((1, 8, 10, 3), True, "FLOAT"),
        (("N", 8, 10, 3), True, "UINT8"),
        (("N", 3, 8, 10), False, "FLOAT"),
        ((2, 3, 8, 10), False, "FLOAT"),
        (("N", 3, "H", "W"), False, "FLOAT"),
        (("N", 8, 10, 3), True, "DOUBLE"),
        (("N", 3, 8, 10), False, "INT32"),
    ],
    ids=str,
)
def test_onnx_files_of_every_layout(shape, channels_last, kind, tmp_path):
    path = _onnx(tmp_path / "teacher.onnx", shape, channels_last, kind)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    given = (8, 10, 3) if "H" in shape else None
    predictor = predictors.load(path, Stated(input_shape=given))
    assert predictor.spec.input_shape == (8, 10, 3) and predictor.spec.class_names == (
        "a",
        "b",
        "c",
        "d",
    )
    np.testing.assert_allclose(predictor.logits(IMAGES), _logits(IMAGES), rtol=1e-4, atol=1e-3)
    assert predictor.logits(IMAGES).dtype == np.float32


def test_an_onnx_file_may_name_the_likeliest_class_beside(tmp_path):
    path = _onnx(tmp_path / "names.onnx", (1, 8, 10, 3), True)
    onnx = pytest.importorskip("onnx")
    helper, model = onnx.helper, onnx.load(path)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    words = {"keys_int64s": range(4), "values_strings": list("abcd")}
    number = helper.make_node("ArgMax", ["logits"], ["number"], axis=1)
    encoder = helper.make_node("LabelEncoder", ["number"], ["word"], domain="ai.onnx.ml", **words)
    model.graph.node.extend([number, encoder])
    word = helper.make_tensor_value_info("word", onnx.TensorProto.STRING, (1, 1))
    model.graph.output.append(word)
    onnx.save(model, path)
    found = predictors.load(path).predict(IMAGES)
    assert not found.values
    np.testing.assert_allclose(found.logits, _logits(IMAGES), rtol=1e-5)
    del model.graph.output[0]
    onnx.save(model, path)
    with pytest.raises(ModelError, match="no output of numbers"):
        predictors.load(path)


def test_the_range_and_outputs_of_onnx_files_are_as_stated(tmp_path):
    path = _onnx(tmp_path / "teacher.onnx", ("N", 8, 10, 3), True)
    predictor = predictors.load(path, Stated(pixels=PixelValues((-1, 1))))
    np.testing.assert_allclose(
        predictor.logits(IMAGES), _logits(IMAGES / 127.5 - 1), rtol=1e-4, atol=1e-4
    )
    assert predictor.fingerprint != predictors.load(path).fingerprint
    with pytest.raises(ModelError, match=f"the lowest number .* is {_logits(IMAGES).min():.3g}:"):
        predictors.load(path, Stated(output="probabilities")).logits(IMAGES)


def test_onnx_files_that_do_not_fit_are_refused(tmp_path):
    path = _onnx(tmp_path / "open.onnx", ("N", 3, "H", "W"), False)
    with pytest.raises(ModelError, match="takes images of any size: "):
        predictors.load(path)
    with pytest.raises(
        ModelError, match=r"takes inputs of shape \(8, 10, 3\), not images of shape \(9, 9, 3\)"
    ):
        predictors.load(
            _onnx(tmp_path / "a.onnx", (1, 8, 10, 3), True), Stated(input_shape=(9, 9, 3))
        )
    with pytest.raises(ModelError, match="has 2 outputs of classes"):
        predictors.load(_onnx(tmp_path / "b.onnx", (1, 8, 10, 3), True, outputs=2))
    with pytest.raises(ModelError, match=r"takes tensor\(bool\) of shape"):
        predictors.load(_onnx(tmp_path / "c.onnx", (1, 8, 10, 3), True, kind="BOOL"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ModelError, match="can't be loaded by ONNX Runtime"):
        predictors.load(path)
    with pytest.raises(ModelError, match="No model at"):
        predictors.load(tmp_path / "none.onnx")


class _Module(tf.Module):
    def __init__(self, shape, dtype):
        super().__init__()
        self.weights = tf.Variable(WEIGHTS)
        self.serve = tf.function(
            self._serve, input_signature=[tf.TensorSpec(shape, dtype, name="image")]
        )

    def _serve(self, image):
        return {
            "scores": tf.reduce_mean(tf.cast(image, tf.float32), axis=(1, 2)) @ self.weights + BIAS
        }


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((None, 8, 10, 3), tf.float32),
        ((1, 8, 10, 3), tf.uint8),
        ((None, None, None, 3), tf.float32),
    ],
)
def test_saved_model_folders(shape, dtype, tmp_path):
    module = _Module(shape, dtype)
    tf.saved_model.save(
        module, str(tmp_path / "folder"), signatures={"serving_default": module.serve}
    )
    predictor = predictors.load(
        tmp_path / "folder", Stated(input_shape=None if shape[1] else (8, 10, 3))
    )
    assert predictor.spec.input_shape == (8, 10, 3)
    np.testing.assert_allclose(predictor.logits(IMAGES), _logits(IMAGES), rtol=1e-4, atol=1e-3)


def _served(path, function, *taken):
    """A SavedModel of a function."""
    module = tf.Module()
    module.serve = tf.function(function, input_signature=taken)
    tf.saved_model.save(module, str(path), signatures=module.serve)
    return path


def _scores(image):
    return tf.reduce_mean(tf.cast(image, tf.float32), axis=(1, 2)) @ tf.constant(WEIGHTS) + BIAS


def test_a_saved_model_may_name_the_likeliest_class_beside_and_take_halves(tmp_path):
    def serve(image):
        scores = _scores(image)
        return {
            "scores": scores,
            "name": tf.gather(tf.constant(list("abcd")), tf.argmax(scores, 1)),
        }

    path = _served(tmp_path / "halves", serve, tf.TensorSpec((None, 8, 10, 3), tf.float16))
    found = predictors.load(path).logits(IMAGES)
    np.testing.assert_allclose(found, _logits(IMAGES), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        (
            [((None,), tf.string)],
            r"takes image \(string, \(None,\)\): expected one input of images",
        ),
        ([((8, 10, 3), tf.float32)], r"takes image \(float32, \(8, 10, 3\)\): expected one input"),
        (
            [((None, 8, 10, 3), tf.float32), ((), tf.bool)],
            r"takes .*training \(bool, \(\)\).*: expected one input of images",
        ),
    ],
)
def test_saved_models_of_other_inputs_are_told_by_their_names(shapes, told, tmp_path):
    def serve(image, training=None):
        return {"scores": tf.zeros((1, 4)) + tf.cast(tf.size(image), tf.float32)}

    taken = [
        tf.TensorSpec(*one, name=name)
        for one, name in zip(shapes, ("image", "training"), strict=False)
    ]
    with pytest.raises(ModelError, match=told):
        predictors.load(_served(tmp_path / "folder", serve, *taken))


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (
            (8, 10, 3),
            "can't compute 4 images of 8x10x3 at once .*: export a function of any number",
        ),
        # Also where the images' number is not the cause, it was told to be.
        ((8, 12, 3), "can't compute an image of 8x12x3 .*: state the size"),
    ],
)
def test_a_saved_model_made_for_one_size_or_one_image_is_told(size, told, tmp_path):
    def serve(image):
        return {"scores": tf.reshape(image, (1, 240)) @ tf.ones((240, 4))}

    shape = (None, None, None, 3)
    path = _served(tmp_path / "folder", serve, tf.TensorSpec(shape, tf.float32))
    with pytest.raises(ModelError, match=told):
        predictors.load(path, Stated(input_shape=size))


def test_saved_model_fingerprint_follows_the_graph(tmp_path):
    prints = set()
    for number, shape in enumerate([(None, 8, 10, 3), (1, 8, 10, 3)]):
        module, path = _Module(shape, tf.float32), tmp_path / str(number)
        tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
        prints |= {predictors.load(path).fingerprint, predictors.load(path).fingerprint}
    assert len(prints) == 2


def test_folders_that_hold_no_classifier_are_refused(tmp_path):
    with pytest.raises(ModelError, match="is no SavedModel: it has no file saved_model.pb"):
        predictors.load(tmp_path)


def test_keras_2_files(tmp_path):
    tf_keras = pytest.importorskip("tf_keras", reason="Keras 2 files are made with tf_keras")
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layers.Conv2D(6, 3, strides=2, padding="same", input_shape=(8, 10, 3)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.layers[1].set_weights([np.full(6, value) for value in (1.5, 0.3, 0.2, 0.7)])
    model.save(tmp_path / "teacher.h5")
    shown = IMAGES.astype(np.float32) / 255
    found = predictors.load(
        tmp_path / "teacher.h5", Stated(pixels=PixelValues((0, 1)), output="probabilities")
    ).logits(IMAGES)
    np.testing.assert_allclose(np.exp(found), model(shown).numpy(), rtol=1e-4, atol=1e-6)


def test_code_in_keras_2_files_is_not_run(tmp_path):
    tf_keras = pytest.importorskip("tf_keras", reason="Keras 2 files are made with tf_keras")
    marker = tmp_path / "ran"
    name = str(marker)
    code = tf_keras.layers.Lambda(lambda x: (open(name, "w").close(), x)[1])
    image = tf_keras.Input((8, 10, 3))
    tf_keras.Model(image, tf_keras.layers.GlobalAveragePooling2D()(code(image))).save(
        tmp_path / "teacher.h5"
    )
    marker.unlink()
    with pytest.raises(ModelError, match="can't be loaded as a Keras model"):
        predictors.load(tmp_path / "teacher.h5")
    assert not marker.exists()


@pytest.mark.parametrize("format", ["onnx", "saved_model"])
def test_our_files_for_apps_are_known_to_give_probabilities(format, tmp_path):
    if format == "onnx":
        pytest.importorskip("tf2onnx", reason="needs the extra onnx")
    image = keras.Input((8, 10, 3))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(image)))
    path = tmp_path / ("app.onnx" if format == "onnx" else "app")
    exporters.export(model, path, format, io="app", app_input=(8, 10, 3))
    predictor = predictors.load(path)
    assert predictor.spec.output == "probabilities"
    expected = np.asarray(keras.ops.log_softmax(model(IMAGES.astype(np.float32))))
    np.testing.assert_allclose(
        predictor.logits(IMAGES), np.maximum(expected, np.log(1e-7)), atol=1e-2
    )
    # The arithmetic is inside the folder's function, where it isn't counted.
    assert predictor.multiply_accumulates is None
