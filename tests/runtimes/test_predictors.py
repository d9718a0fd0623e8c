"""Any classifier file as a function of uint8 images: size, colour, value range, output and order of
classes.
"""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import exporters, models
from keras_kd.datasets import images
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import DataError, ModelError
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import predictors
from keras_kd.runtimes.predictors import KerasPredictor
from keras_kd.runtimes.stated import Stated

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
NAMES = ("angry", "happy", "sad")


def _network(shape=(48, 48, 1), softmax=False, classes=3, seed=1):
    """A linear model of pixels 0..1 and of whatever is under it; exact enough to do by hand."""
    image = keras.Input(shape)
    x = layers.Flatten()(layers.AveragePooling2D(8)(image))
    kernel = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
    return keras.Model(
        image, layers.Dense(classes, "softmax" if softmax else None, kernel_initializer=kernel)(x)
    )


def _by_hand(model, shown):
    """Logits of `_network` in float64."""
    count, height, width, channels = shown.shape
    blocks = (
        shown.reshape(count, height // 8, 8, width // 8, 8, channels)
        .mean((2, 4))
        .reshape(count, -1)
    )
    return blocks @ model.get_weights()[0].astype(float)


def _centred(logits):
    return logits - logits.mean(1, keepdims=True)


def test_a_foreign_model_of_another_size_colour_range_and_output_gives_its_logits(tmp_path):
    model, path = _network(softmax=True), tmp_path / "foreign.keras"
    model.save(path)
    predictor = predictors.load(
        path, Stated(pixels=PixelValues((-1.0, 1.0)), output="probabilities")
    )
    gray = images.resize(images.with_channels(PIXELS, 1), 48, 48)
    expected = _by_hand(model, gray.astype(float) / 127.5 - 1)
    # A softmax forgets a constant for each image.
    np.testing.assert_allclose(_centred(predictor.logits(PIXELS)), _centred(expected), atol=1e-4)
    assert predictor.spec == ModelSpec(None, PixelValues((-1.0, 1.0)), "probabilities", (48, 48, 1))
    # Told nothing, it would be taken for another model.
    assert np.abs(_centred(predictors.load(path).logits(PIXELS)) - _centred(expected)).max() > 0.1


@pytest.mark.parametrize(("replicas", "batch_size", "pipelines"), [(1, 5, 0), (1, 4, 1), (2, 5, 1)])
def test_one_batch_of_one_replica_is_computed_without_a_pipeline(
    replicas, batch_size, pipelines, monkeypatch
):
    """Of a small model Keras' `predict` takes fifty times as long. Each of two replicas would
    compute all images without it.
    """
    model, calls, predict = _network((64, 64, 3)), [], keras.Model.predict
    predictor = KerasPredictor(
        model, ModelSpec(NAMES, input_shape=(64, 64, 3)), batch_size=batch_size
    )
    expected = predict(model, PIXELS.astype("float32"), batch_size, verbose=0)

    def counted(self, *given, **options):
        calls.append(self)
        monkeypatch.undo()
        return predict(self, *given, **options)

    monkeypatch.setattr(keras.Model, "predict", counted)
    if replicas > 1:
        strategy = SimpleNamespace(num_replicas_in_sync=replicas)
        monkeypatch.setattr(keras.Model, "distribute_strategy", strategy)
    np.testing.assert_array_equal(predictor.logits(PIXELS), expected)
    assert len(calls) == pipelines


def test_the_files_own_form_is_used(tmp_path):
    model, path = _network((64, 64, 3)), tmp_path / "own.keras"
    keras_file.save(model, path, ModelSpec(NAMES, PixelValues((0.0, 1.0)), "logits", (64, 64, 3)))
    predictor = predictors.load(path)
    np.testing.assert_allclose(predictor.logits(PIXELS), _by_hand(model, PIXELS / 255), atol=1e-5)
    assert predictor.spec.class_names == NAMES


class OwnCall(keras.Sequential):
    """A call that does more than its graph, which has taps to cut."""

    def call(self, inputs, training=None, mask=None):
        return 3.0 * super().call(inputs, training=training)


def test_a_call_of_ones_own_is_not_lost_in_compaction():
    conv = layers.Conv2D(3, 3, padding="same")
    model = OwnCall([keras.Input((1, 1, 3)), conv, layers.Flatten()])
    predictor = KerasPredictor(model, ModelSpec(input_shape=(1, 1, 3)))
    pixels = PIXELS[:, :1, :1]
    kernel, bias = (np.asarray(weight, np.float64) for weight in conv.get_weights())
    expected = 3 * (pixels[:, 0, 0] @ kernel[1, 1] + bias)
    np.testing.assert_allclose(predictor.logits(pixels), expected, rtol=1e-4, atol=1e-3)
    assert predictor.multiply_accumulates


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_models_are_compacted_and_stay_equal(kind):
    keras.utils.set_random_seed(1)
    stack = [
        keras.Input((2, 2, 3)),
        layers.Conv2D(3, 3, strides=2, padding="same"),
        layers.Conv2D(4, 3, padding="same"),
    ]
    model = keras.Sequential([*stack, layers.Flatten()])
    model = keras.Model(model.inputs[0], model.outputs[0]) if kind == "functional" else model
    predictor = KerasPredictor(model, ModelSpec(input_shape=(2, 2, 3)))
    assert predictor._model.count_params() < model.count_params()
    pixels = PIXELS[:, :2, :2]
    np.testing.assert_allclose(
        predictor.logits(pixels), model.predict(pixels, verbose=0), rtol=1e-5, atol=1e-3
    )
    with pytest.raises(DataError, match="no images: give one or more"):
        predictor.predict(pixels[:0])
    for others, told in ((pixels[0], r"\(2, 2, 3\); images\[None\]"), ([*pixels], "list; .*stack")):
        with pytest.raises(DataError, match=f"one array .N, H, W, C.. Received: {told}"):
            predictor.predict(others)


def test_zero_probabilities_become_finite_logits():
    image = keras.Input((8, 8, 1))
    model = keras.Model(
        image, layers.Softmax()(layers.Flatten()(layers.AveragePooling2D(4)(image)))
    )
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    pixels[0, :4, :4] = 255
    logits = KerasPredictor(model, ModelSpec(output="probabilities", input_shape=(8, 8, 1))).logits(
        pixels
    )
    assert logits[0] == pytest.approx([0, *[np.log(1e-7)] * 3], rel=1e-5)


def test_batches_do_not_matter():
    model, spec = models.build("C", 3, (16, 16, 3), seed=1), ModelSpec(input_shape=(16, 16, 3))
    one, five = (KerasPredictor(model, spec, batch_size=size).logits(PIXELS) for size in (1, 5))
    np.testing.assert_allclose(one, five, atol=1e-5)


def test_bfloat16_computes_nearly_the_same():
    model, spec = models.build("C", 3, (16, 16, 3), seed=1), ModelSpec(input_shape=(16, 16, 3))
    exact, rough = (
        KerasPredictor(model, spec, policy).logits(PIXELS) for policy in (None, "mixed_bfloat16")
    )
    assert rough.dtype == np.float32 and 0 < np.abs(rough - exact).max() < 0.05 * np.ptp(exact)


def test_fingerprints_tell_weights_and_form():
    shape = {"input_shape": (48, 48, 1)}
    found = {
        KerasPredictor(_network(seed=seed), ModelSpec(**shape, **spec)).fingerprint
        for seed in (1, 2)
        for spec in ({}, {"pixels": PixelValues((-1.0, 1.0))}, {"output": "probabilities"})
    }
    assert len(found) == 6
    assert KerasPredictor(_network(), ModelSpec(**shape)).fingerprint in found
    # As where the end of a teacher was mended: its weights are the same.
    changed = _network()
    changed.layers[-1].activation = keras.activations.tanh
    assert KerasPredictor(changed, ModelSpec(**shape)).fingerprint not in found


def test_logits_are_put_into_the_datas_order():
    predictor = KerasPredictor(_network(), ModelSpec(NAMES, input_shape=(48, 48, 1)))
    changed = predictors.reordered(predictor, NAMES, ("sad", "Anger", "happiness"))
    np.testing.assert_array_equal(changed.logits(PIXELS), predictor.logits(PIXELS)[:, [2, 0, 1]])
    assert changed.spec.class_names == ("sad", "Anger", "happiness")
    assert changed.fingerprint != predictor.fingerprint
    again = predictors.reordered(changed, changed.spec.class_names, NAMES)
    np.testing.assert_array_equal(again.logits(PIXELS), predictor.logits(PIXELS))


def test_teachers_and_mirror_images_are_averaged():
    spec = ModelSpec(NAMES, PixelValues(), "logits", (48, 48, 1))
    nets = [_network(seed=1), _network(seed=2)]
    members = [KerasPredictor(net, spec) for net in nets]
    gray = images.resize(images.with_channels(PIXELS, 1), 48, 48).astype(float)
    both = predictors.averaged(members)
    np.testing.assert_allclose(
        both.logits(PIXELS), sum(_by_hand(net, gray) for net in nets) / 2, rtol=1e-4, atol=1e-2
    )
    mirrored = predictors.averaged(members, mirror=True)
    expected = sum(_by_hand(net, shown) for net in nets for shown in (gray, gray[:, :, ::-1])) / 4
    np.testing.assert_allclose(mirrored.logits(PIXELS), expected, rtol=1e-4, atol=1e-2)
    # One teacher as it is keeps its soft labels; all others have their own.
    assert predictors.averaged(members[:1]) is members[0]
    made = [both, mirrored, predictors.averaged(members[:1], True), *members]
    assert len({predictor.fingerprint for predictor in made}) == 5


def test_teachers_that_tell_different_things_are_not_averaged():
    spec = ModelSpec(input_shape=(64, 64, 1))
    whole = models.build("C", 3, (64, 64, 1), heads={"expression": 3, "valence": None})
    members = [KerasPredictor(whole, spec), KerasPredictor(models.build("C", 3, (64, 64, 1)), spec)]
    with pytest.raises(ModelError, match="averaged only if"):
        predictors.averaged(members)


def test_other_classes_are_refused_by_name():
    predictor = KerasPredictor(_network(), ModelSpec(input_shape=(48, 48, 1)))
    with pytest.raises(ModelError, match="lacks neutral and has happy besides"):
        predictors.reordered(predictor, NAMES, ("sad", "angry", "neutral"))
    four = (*NAMES, "fear")
    with pytest.raises(
        ModelError, match=r"gives 3 outputs for 4 classes \(angry, happy, sad, fear\)"
    ):
        predictors.reordered(predictor, four, four).logits(PIXELS)


def test_a_size_must_be_known():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.GlobalAveragePooling2D()])
    with pytest.raises(ModelError, match="images of any size: state one with --input"):
        KerasPredictor(model, ModelSpec())
    assert KerasPredictor(model, ModelSpec(input_shape=(8, 8, 3))).logits(PIXELS).shape == (5, 3)


@pytest.mark.parametrize("shape", [(64, 64, 1), (48, 48, 3)])
def test_a_size_that_the_model_does_not_take_is_refused(shape):
    with pytest.raises(
        ModelError, match=r"takes inputs of shape \(48, 48, 1\), not images of shape"
    ):
        KerasPredictor(_network(), ModelSpec(input_shape=shape))


def test_models_that_take_no_image_or_tell_two_sets_of_classes_are_refused():
    flat = keras.Sequential([keras.Input((64,)), layers.Dense(3)])
    with pytest.raises(ModelError, match=r"takes inputs of shape \(64,\)"):
        KerasPredictor(flat, ModelSpec(input_shape=(8, 8, 1)))
    image = keras.Input((8, 8, 1))
    two = keras.Model(image, {name: layers.Flatten(name=name)(image) for name in ("who", "what")})
    with pytest.raises(
        ModelError, match=r"has 2 outputs of classes \(who, what\): expected one at most"
    ):
        KerasPredictor(two, ModelSpec(input_shape=(8, 8, 1)))


def test_an_unknown_output_is_refused():
    with pytest.raises(
        ModelError, match="output must be one of logits, probabilities. Received: 'votes'."
    ):
        KerasPredictor(_network(), ModelSpec(output="votes", input_shape=(48, 48, 1)))


@pytest.fixture(scope="module")
def tflite(tmp_path_factory):
    model = _network()
    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    exporters.export(model, path, "float32")
    return model, path


@pytest.mark.parametrize("value_range", [None, (-1.0, 1.0)])
def test_tflite_files_take_the_same_forms(value_range, tflite):
    model, path = tflite
    (path.parent / "labels.txt").unlink(missing_ok=True)
    predictor = predictors.load(path, Stated(pixels=value_range and PixelValues(value_range)))
    keras_predictor = KerasPredictor(
        model, ModelSpec(pixels=value_range and PixelValues(value_range), input_shape=(48, 48, 1))
    )
    expected = keras_predictor.logits(PIXELS)
    np.testing.assert_allclose(
        predictor.logits(PIXELS), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()
    )
    assert predictor.spec.input_shape == (48, 48, 1) and predictor.spec.class_names is None


@pytest.mark.parametrize(
    "text", ["angry\nhappy\nsad\n", "angry\nhappy\nsad", "angry\r\nhappy\r\nsad\r\n"]
)
def test_labels_beside_a_tflite_file_are_its_classes(text, tflite):
    (tflite[1].parent / "labels.txt").write_bytes(text.encode())
    assert predictors.load(tflite[1]).spec.class_names == NAMES


@pytest.mark.parametrize("precision", [None, "mixed_bfloat16"])
def test_arithmetic_is_that_of_the_published_shape(precision):
    """6.04 M at 64x64 for student C, though the predictor computes without dead taps."""
    predictor = KerasPredictor(
        models.build("C", seed=0), ModelSpec(input_shape=(64, 64, 3)), precision
    )
    assert predictor.multiply_accumulates / 1e6 == pytest.approx(6.04, abs=0.01)
    assert (
        predictors.reordered(predictor, tuple("abcdefg"), tuple("gfedcba")).multiply_accumulates
        / 1e6
        > 6
    )


def test_a_predictor_is_pickled_as_the_file_that_it_came_from(tmp_path):
    _network().save(tmp_path / "model.keras")
    loaded = predictors.load(tmp_path / "model.keras", Stated(pixels=PixelValues((0, 1))))
    turned = predictors.averaged([predictors.reordered(loaded, NAMES, NAMES[::-1])], mirror=True)
    # In another process the model is there once, in the file.
    content = pickle.dumps(turned)
    assert len(content) < 5_000
    copy = pickle.loads(content)
    np.testing.assert_array_equal(copy.logits(PIXELS), turned.logits(PIXELS))
    assert copy.fingerprint == turned.fingerprint


@pytest.mark.parametrize("how", ["dense", "layer", "operation", "nested", "sequential"])
def test_a_softmax_at_the_end_is_seen(how):
    logits = _network((64, 64, 3))
    last = {"layer": layers.Softmax(), "operation": keras.ops.softmax}
    if how == "dense":
        model = _network((64, 64, 3), softmax=True)
    elif how == "nested":
        image = keras.Input((64, 64, 3))
        model = keras.Model(
            image, keras.Model(logits.input, keras.ops.softmax(logits.output))(image)
        )
    elif how == "sequential":
        model = keras.Sequential([keras.Input((64, 64, 3)), _network((64, 64, 3), softmax=True)])
    else:
        model = keras.Model(logits.input, last[how](logits.output))
    predictor = KerasPredictor(
        model, ModelSpec(None, PixelValues((0.0, 1.0)), input_shape=(64, 64, 3))
    )
    assert predictor.spec.output == "probabilities"
    np.testing.assert_allclose(
        _centred(predictor.logits(PIXELS)), _centred(_by_hand(logits, PIXELS / 255)), atol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (
            lambda pixels: np.where(np.arange(5)[:, None, None, None] == 3, np.nan, pixels),
            "Image 3",
        ),
        (lambda pixels: np.where(pixels == pixels.max(), np.inf, pixels), "NaN or infinity"),
        (lambda pixels: pixels / 255, "The images lie in 0..1, and pixels 0..255"),
        (lambda pixels: pixels - 128.0, "The images lie in -128..127"),
        (lambda pixels: pixels.astype(np.uint16) * 257, "The images lie in 0..65535"),
    ],
)
def test_images_that_are_no_pixels_are_refused(change, facts):
    predictor = KerasPredictor(_network((64, 64, 3)), ModelSpec(input_shape=(64, 64, 3)))
    with pytest.raises(DataError, match=facts):
        predictor.predict(change(PIXELS))
    found = predictor.logits(PIXELS.astype(np.float32))
    np.testing.assert_array_equal(found, predictor.logits(PIXELS))


@pytest.mark.parametrize("way", ["bilinear", "bicubic", "lanczos5"])
def test_resized_images_may_lie_a_little_beyond_pixels(way):
    """They were refused as scaled ones."""
    edges = np.where(np.arange(48) % 24 < 12, 255, 0).astype(np.float32)
    images = np.broadcast_to(edges[:, None, None], (2, 48, 48, 3))
    resized = np.array(keras.ops.image.resize(images, (64, 64), interpolation=way))
    assert way == "bilinear" or (resized.min() < 0 and resized.max() > 255)
    network = _network((64, 64, 3))
    found = KerasPredictor(network, ModelSpec(input_shape=(64, 64, 3))).logits(resized)
    np.testing.assert_allclose(found, _by_hand(network, resized), rtol=1e-3)
