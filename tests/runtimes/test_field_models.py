"""Situations of strangers' model files, from public trackers: see docs/reliability.md."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from small_classifier import PIXELS, classifier, converted

from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.evaluation import on_device, operator_times
from keras_kd.evaluation._single_image import single_run
from keras_kd.exporters import guide
from keras_kd.runtimes import predictors
from keras_kd.runtimes.stated import Stated

KERNEL = np.random.default_rng(1).normal(size=(2, 2, 3, 4)).astype(np.float32)


def test_hdf5_is_another_name_of_h5(tmp_path: Path) -> None:
    classifier(layers.Softmax()).save(tmp_path / "model.h5")
    path = (tmp_path / "model.h5").rename(tmp_path / "model.hdf5")
    found = predictors.load(path)
    assert found.spec.output == "probabilities"
    expected = np.log(
        classifier(layers.Softmax()).predict(PIXELS.astype("float32"), verbose=0) + 1e-7
    )
    np.testing.assert_allclose(found.logits(PIXELS), expected, atol=1e-3)


def test_a_convolution_at_the_end_gives_rows_too(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(3, 8)(image))
    expected = model.predict(PIXELS.astype("float32"), verbose=0)[:, 0, 0]
    model.save(tmp_path / "model.keras")
    found = predictors.load(tmp_path / "model.keras").logits(PIXELS)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_outputs_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    model = classifier(layers.Softmax())
    model.layers[1].set_weights([np.full((3, 3), np.nan), np.zeros(3)])
    model.save(tmp_path / "model.keras")
    try:
        logits = predictors.load(tmp_path / "model.keras").logits(PIXELS)
    except ModelError as told:
        assert "NaN" in str(told) or "number" in str(told)
    else:
        assert np.isnan(logits).all()


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
def test_an_int16_input_spans_both_signs_and_does_not_tell_its_pixels(
    low: float, high: float, tmp_path: Path
) -> None:
    import tensorflow as tf

    model, pixels = classifier(), PixelValues((low, high))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([pixels.of(image[None])] for image in PIXELS)
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]
    converter.inference_input_type = converter.inference_output_type = tf.int16
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(ModelError, match="int16 that stands for .* -1 to 1, .* assumed"):
        predictors.load(path)
    found = predictors.load(path, Stated(pixels=pixels)).logits(PIXELS)
    expected = model.predict(pixels.of(PIXELS), verbose=0)
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((1, 8, 8, 4), r"shape \(8, 8, 4\): expected height, .* channels of gray or RGB"),
        ((None, None, None, 3), r"shapes \[\(-1, -1, -1, 3\)\]: expected .* which one by --input"),
        ((1, 8, 8), r"inputs of shapes \[\(1, 8, 8\)\]: expected images of one fixed shape"),
    ],
)
def test_inputs_that_are_no_images_of_one_size_are_told_by_their_shape(
    shape: tuple[int | None, ...], told: str, tmp_path: Path
) -> None:
    import tensorflow as tf

    def values(image: tf.Tensor) -> tf.Tensor:
        # A window of 2x2 doesn't fit the 1x1 that TensorFlow writes for an open size.
        map = image[..., :3] if len(shape) == 4 else image[..., None]
        map = tf.nn.conv2d(map, tf.ones((2, 2, map.shape[-1], 3)), 1, "VALID")
        return tf.reduce_mean(map, axis=(1, 2))

    function = tf.function(values, input_signature=[tf.TensorSpec(shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(ModelError, match=told):
        predictors.load(path)


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_tflite_of_open_size_takes_the_size_that_is_stated(
    channels_first: bool, tmp_path: Path
) -> None:
    import tensorflow as tf

    def values(image: tf.Tensor) -> tf.Tensor:
        image = tf.transpose(image, (0, 2, 3, 1)) if channels_first else image
        return tf.reduce_mean(tf.nn.conv2d(image, KERNEL, 1, "VALID"), axis=(1, 2))

    shape = [None, 3, None, None] if channels_first else [None, None, None, 3]
    function = tf.function(values, input_signature=[tf.TensorSpec(shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    predictor = predictors.load(path, Stated(input_shape=(6, 9, 3), output="logits"))
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 9, 3), dtype=np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(images.astype(float), (2, 2), (1, 2))
    expected = np.einsum("nhwcyx,yxco->no", windows, KERNEL) / (5 * 8)
    np.testing.assert_allclose(predictor.logits(images), expected, rtol=1e-4)
    # The graph's own shapes have 1 for each side that is open.
    assert predictor.multiply_accumulates is None
    single_run(path, 1, (6, 9, 3))()
    assert (
        predictor.fingerprint
        != predictors.load(path, Stated(input_shape=(6, 6, 3), output="logits")).fingerprint
    )
    for needing_one_size in (guide.facts, operator_times.measure, on_device.measure):
        with pytest.raises(ModelError, match="leaves sides of .* convert the model for it"):
            needing_one_size(path)
    with pytest.raises(ModelError, match=r"where -1 is any size, .* \(6, 9, 1\): check --input"):
        predictors.load(path, Stated(input_shape=(6, 9, 1)))
    with pytest.raises(ModelError, match=r"can't compute images of 1x1x3 .* larger --input"):
        predictors.load(path, Stated(input_shape=(1, 1, 3)))


def test_a_size_that_is_stated_and_not_the_files_own_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(converted())
    with pytest.raises(ModelError, match=r"shape \(8, 8, 3\), not images of shape \(9, 9, 3\)"):
        predictors.load(path, Stated(input_shape=(9, 9, 3)))


@pytest.mark.parametrize("limits", [(0, 1), (0, 255)])
def test_a_statement_that_contradicts_the_scale_of_the_input_is_refused(
    limits: tuple[int, int], tmp_path: Path
) -> None:
    import tensorflow as tf

    pixels, other = (PixelValues(one) for one in (limits, (0, 256 - limits[1])))
    ends = np.stack([np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)])
    converter = tf.lite.TFLiteConverter.from_keras_model(classifier())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    shown = pixels.of(ends).astype(np.float32)
    converter.representative_dataset = lambda: ([image[None]] for image in shown)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    assert predictors.load(path).spec.pixels == pixels
    with pytest.raises(
        ModelError,
        match="takes uint8 that stands for .* stated to be .* quantize it again by",
    ):
        predictors.load(path, Stated(pixels=other))


def _with_map() -> keras.Model:
    """A model that also gives the map that Grad-CAM needs."""
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3))
    map = layers.Conv2D(4, 3, name="map")(image)
    scores = layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(map))
    return keras.Model(image, {"map": map, "scores": scores})


@pytest.mark.parametrize("form", ["keras", "tflite", "saved_model", "onnx"])
def test_a_map_beside_the_classes_is_left_out_where_these_are_chosen(
    form: str, tmp_path: Path
) -> None:
    from keras_kd import exporters

    if form == "onnx":
        pytest.importorskip("tf2onnx", reason="the format onnx needs the extra onnx")
    model, path = _with_map(), tmp_path / f"model.{form}".removesuffix(".saved_model")
    if form == "keras":
        model.save(path)
    else:
        exporters.export(model, path, "float32" if form == "tflite" else form)
    with pytest.raises(ModelError, match="map has the shape .* so choose scores by --head"):
        predictors.load(path)
    with pytest.raises(ModelError, match="output map has the shape"):
        predictors.load(path, Stated(head="map"))
    found = predictors.load(path, Stated(head="scores"))
    expected = model.predict(PIXELS.astype(np.float32), verbose=0)["scores"]
    np.testing.assert_allclose(found.logits(PIXELS), expected, rtol=1e-4, atol=1e-3)
    assert found.values == ()


@pytest.mark.parametrize("form", ["tflite", "saved_model"])
def test_scores_that_are_sorted_are_no_classes(form: str, tmp_path: Path) -> None:
    import tensorflow as tf

    def best(image: tf.Tensor) -> dict[str, tf.Tensor]:
        scores, classes = tf.nn.top_k(tf.nn.softmax(tf.reduce_mean(image, axis=(1, 2))), 3)
        return {"scores": scores, "classes": classes}

    module, path = tf.Module(), tmp_path / "folder"
    module.serve = tf.function(
        best, input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32, name="image")]
    )
    tf.saved_model.save(module, str(path), signatures=module.serve)
    if form == "tflite":
        content = tf.lite.TFLiteConverter.from_saved_model(str(path)).convert()
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"sorted by its numbers \(top k\)"):
        predictors.load(path, Stated(head="scores"))
