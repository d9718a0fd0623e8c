"""Images of NaN or infinity, which a ReLU swallows, are refused wherever a Distiller meets them."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_students import IMAGES, LABELS, LOGITS, WEIGHTS, compiled, deep, linear
from test_distiller_entries import refusal
from test_distiller_inputs import of_two_inputs
from test_distiller_shapes import Batches

from keras_kd import Distiller
from keras_kd.errors import DataError


def spoilt(value=np.nan, row=5, dtype=np.float32):
    images = IMAGES.astype(dtype)
    images[row, 2, 1, 0] = value
    return images


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_are_refused_before_training_and_the_row_is_named(value, dtype):
    distiller, images = compiled(linear(), deep(1)), spoilt(value, dtype=dtype)
    before = distiller.student.get_weights()[0].copy()
    for call in (
        lambda: distiller.fit(images, LABELS, verbose=0),
        lambda: distiller.fit(tf.constant(images), LABELS, verbose=0),
        lambda: distiller.fit(images, {"label": LABELS, "teacher": LOGITS}, verbose=0),
        lambda: distiller.fit(IMAGES, LABELS, validation_data=(images, LABELS), verbose=0),
        lambda: distiller.train_on_batch(images, LABELS),
        lambda: distiller.evaluate(images, LABELS, verbose=0),
        lambda: distiller.test_on_batch(images, LABELS),
        lambda: distiller.predict(images, verbose=0),
    ):
        refusal(call, DataError, "image in row 5", "NaN or infinity", "leave it out")
    np.testing.assert_array_equal(distiller.student.get_weights()[0], before)


class Several(Batches):
    def __len__(self):
        return len(self.parts)

    def __getitem__(self, index):
        return self.parts[index]


def _as_data_set(*batches):
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(24)


@pytest.mark.parametrize("number", [0, 3])  # Keras looks at two batches before it begins.
@pytest.mark.parametrize("way", [lambda *batches: (one for one in batches), Several, _as_data_set])
@pytest.mark.filterwarnings("ignore:`shuffle=True`")
def test_batches_are_refused_before_their_step(way, number):
    """Those of later steps were an error of TensorFlow's graph, and those of predict were taken."""
    distiller = compiled(linear(), deep(1))
    before = distiller.student.get_weights()[0].copy()
    batches = [(IMAGES.astype(np.float32), LABELS)] * 4
    batches[number] = spoilt(), LABELS
    calls = (distiller.predict, distiller.evaluate, distiller.fit)
    # The steps of the other two check those of data sets.
    for ask in calls[: 1 if way is _as_data_set else 3]:
        told = DataError, f"Batch {number}: ", "row 5"
        refusal(lambda ask=ask: ask(way(*batches), verbose=0), *told)
    assert number or (distiller.student.get_weights()[0] == before).all()


@pytest.mark.parametrize("row", [2, 21])  # of the first batch, and of a later one
def test_a_data_set_is_refused_after_its_first_batch_or_its_epoch(row):
    data = tf.data.Dataset.from_tensor_slices((spoilt(row=row), LABELS)).batch(8)
    for ask in ("fit", "evaluate"):
        distiller = compiled(deep(), beta=0.0)
        refusal(
            lambda ask=ask, one=distiller: getattr(one, ask)(data, verbose=0),
            DataError,
            f"image in row {row} of the batches",
            "NaN or infinity",
        )


def _filling_gaps():
    """A student that fills gaps in its second input."""
    model = of_two_inputs(dict)
    filled = keras.ops.nan_to_num(model.input["place"])
    return keras.Model(model.input, model({**model.input, "place": filled}))


def test_of_several_inputs_the_images_are_looked_at_and_gaps_in_columns_are_the_students():
    """A student that sees to gaps itself could not be trained."""
    places = np.full((24, 2), np.nan, np.float32)
    given = {"image": IMAGES.astype(np.float32), "place": places, "age": places[:, 0]}
    student = compiled(_filling_gaps(), beta=0.0)
    data = tf.data.Dataset.from_tensor_slices((given, LABELS)).batch(24)
    losses = [student.fit(*of, verbose=0).history["loss"][0] for of in ((given, LABELS), (data,))]
    assert np.isfinite(losses).all()
    given["image"][7] = np.inf
    refusal(lambda: student.fit(given, LABELS, verbose=0), DataError, "row 7")
    data = tf.data.Dataset.from_tensor_slices((given, LABELS)).batch(24)
    refusal(lambda: student.fit(data, verbose=0), DataError, "row 7 of the batches")


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ((np.ma.masked_greater(IMAGES, 200), LABELS), "images are masked in "),
        ((IMAGES, np.ma.masked_equal(LABELS, 2)), "labels are masked in "),
        ((IMAGES, LABELS, np.ma.masked_greater(WEIGHTS, 1)), "sample weights are masked in "),
        (
            (IMAGES, {"label": LABELS, "teacher": np.ma.masked_greater(LOGITS, 0)}),
            "outputs of the teacher are masked in ",
        ),
        ((IMAGES.astype(object), LABELS), "images are an array of object"),
        ((IMAGES + 1j, LABELS), "images are an array of complex128"),
    ],
)
def test_what_is_masked_or_no_real_number_is_refused(parts, told):
    """What lies below a mask was learnt, and of complex numbers the real part, without a word."""
    distiller = compiled(linear(), beta=0.0)
    images, *others = parts
    for ask in (distiller.fit, distiller.evaluate):
        named = dict(zip(("y", "sample_weight"), others, strict=False))
        refusal(lambda ask=ask, named=named: ask(images, **named, verbose=0), DataError, told)


def test_an_array_whose_mask_hides_nothing_is_taken():
    distiller = compiled(linear(), beta=0.0)
    found = distiller.fit(np.ma.array(IMAGES), np.ma.array(LABELS), batch_size=24, verbose=0)
    expected = compiled(linear(), beta=0.0).fit(IMAGES, LABELS, batch_size=24, verbose=0)
    assert found.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_a_loss_is_told_of_outputs_without_their_images(training):
    """It ended in an AttributeError once images were looked at. Of equal logits it is log C."""
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    loss = distiller.compute_loss(y=LABELS, y_pred=np.zeros((24, 3), "float32"), training=training)
    np.testing.assert_allclose(float(loss), np.log(3), rtol=1e-6)


def _network(*first: keras.layers.Layer) -> keras.Model:
    last = [keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4, 4, 3)), *first, *last])


def _nested() -> keras.Model:
    image = keras.Input((4, 4, 3))
    flipped = keras.layers.RandomFlip()(image)
    return keras.Model(image, _network(keras.layers.Rescaling(1 / 127.5, -1.0))(flipped))


def _of_range(low: float, high: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(low, high, (64, 4, 4, 3))


def _warnings_of_range(student, teacher, images, way=None) -> list[str]:
    distiller = Distiller(student, teacher, beta=None if teacher else 0.0)
    distiller.compile("sgd")
    given = images, np.arange(len(images)) % 3
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        distiller.fit(*given, verbose=0) if way is None else distiller.fit(way(given), verbose=0)
    return [str(one.message) for one in caught if "begins with Rescaling" in str(one.message)]


@pytest.mark.parametrize("ends", [(0, 1), (-1, 1), (0, 65535)], ids=["0..1", "-1..1", "16 bits"])
@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("scaled", [lambda: _network(keras.layers.Rescaling(1 / 255)), _nested])
def test_images_of_another_range_than_the_first_layer_takes_are_told(ends, role, scaled):
    """Such a model sees pixels that are all but equal."""
    models = (scaled(), _network()) if role == "student" else (_network(), scaled())
    (message,) = _warnings_of_range(*models, _of_range(*ends))
    assert message.startswith(f"The {role} ") and "0..255" in message


@pytest.mark.parametrize("way", [lambda batch: (one for one in [batch] * 2), Several, _as_data_set])
def test_the_first_batch_of_a_data_set_tells_of_them_once(way):
    models = _network(keras.layers.Rescaling(1 / 255)), _network()
    (message,) = _warnings_of_range(*models, _of_range(0, 1), way)
    assert message.startswith("The student ")


@pytest.mark.parametrize(
    ("images", "layers"),
    [
        (_of_range(0, 255), [keras.layers.Rescaling(1 / 255)]),
        (_of_range(0, 255).astype(np.uint8), [keras.layers.Rescaling(1 / 127.5, -1.0)]),
        (_of_range(0, 1), [keras.layers.Rescaling(255.0), keras.layers.Rescaling(1 / 255)]),
        (_of_range(0, 1), []),
        (_of_range(0, 255), [keras.layers.Rescaling(1.0, -128.0)]),
        (np.zeros((64, 4, 4, 3)), [keras.layers.Rescaling(1 / 255)]),
    ],
    ids=["0..255", "uint8", "multiplied before", "no Rescaling", "mean", "black"],
)
def test_images_of_the_range_that_the_first_layer_takes_are_not(images, layers):
    assert not _warnings_of_range(_network(*layers), None, images)
