"""Batches of images as models of one and of several inputs take them, against NumPy and in
refusals.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_students import IMAGES, LABELS, RANDOM, compiled, linear
from test_distiller_entries import refusal
from test_distiller_shapes import data_sets, divergence, losses_of, still

from keras_kd.distiller import FeatureMatch
from keras_kd.errors import DataError, ModelError
from keras_kd.losses import feature_loss


def of_two_inputs(form, seed=0):
    first, second = keras.Input((4, 4, 1), name="image"), keras.Input((2,), name="place")
    x = layers.Concatenate()([layers.Flatten()(layers.Rescaling(1 / 255)(first)), second])
    kernel = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
    inputs = {"image": first, "place": second} if form is dict else form((first, second))
    return keras.Model(inputs, layers.Dense(3, kernel_initializer=kernel)(x))


class Wrapped(keras.Model):
    """A teacher of two inputs whose graph is unknown."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize("form", [list, tuple, dict])
def test_inputs_are_given_as_keras_takes_them(form):
    places = RANDOM.normal(size=(24, 2)).astype(np.float32)
    given = {"image": IMAGES, "place": places} if form is dict else form((IMAGES, places))
    student, teacher = of_two_inputs(form), of_two_inputs(form, 1)
    wrapped = Wrapped(teacher)
    wrapped(given)
    soft = divergence(
        teacher.predict(given, verbose=0), student.predict(given, verbose=0), 3.0
    ).mean()
    for one in (teacher, wrapped):
        found = losses_of(still(student, one), given, LABELS)
        assert found["soft_loss"] == pytest.approx(soft, rel=1e-5)


def of_one_input(form, seed):
    """`linear`, whose only input stands in a structure of this form, or in none."""
    model = linear(seed)
    inputs = {"image": model.inputs[0]} if form is dict else form(model.inputs)
    return keras.Model(inputs, model.outputs[0])


@pytest.mark.parametrize("of_teacher", [dict, list, lambda images: images[0]])
@pytest.mark.parametrize("of_student", [dict, list, lambda images: images[0]])
@pytest.mark.parametrize("given", [dict, list, lambda images: images[0]])
def test_the_images_of_one_input_may_stand_in_a_dict_or_list(given, of_student, of_teacher):
    student, teacher = of_one_input(of_student, 0), of_one_input(of_teacher, 1)
    soft = divergence(linear(1).predict(IMAGES), linear(0).predict(IMAGES), 3.0).mean()
    images = {"image": IMAGES} if given is dict else given([IMAGES])
    found = still(student, teacher).fit(images, LABELS, batch_size=24, verbose=0).history
    assert found["soft_loss"] == pytest.approx([soft], rel=1e-5)


@pytest.mark.parametrize("teacher", [None, linear(1)])
def test_a_data_set_of_single_images_is_told_to_batch_them(teacher):
    distiller = compiled(linear(), teacher, **({} if teacher else {"beta": 0}))
    single = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    for ask in (distiller.fit, distiller.evaluate, distiller.predict):
        refusal(lambda ask=ask: ask(single), DataError, "(4, 4, 1)", "dataset.batch(32)")
    wide = single.map(lambda image, label: (tf.repeat(image, 2, axis=1), label)).batch(8)
    for ask in (distiller.fit, distiller.evaluate, distiller.predict):
        refusal(lambda ask=ask: ask(wide), DataError, "(4, 8, 1)", "(4, 4, 1)")


@pytest.mark.parametrize("of_student", [list, dict])
@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"image": IMAGES, "places": IMAGES[:, 0, :2, 0]}, ("image, places", "image, place")),
        ({"image": IMAGES[:, :3], "place": IMAGES[:, 0, :2, 0]}, ("'image'", "(3, 4, 1)")),
        ({"image": IMAGES, "place": IMAGES[:, 0, :, 0]}, ("'place'", "(4,)", "takes (2,)")),
        ([IMAGES, IMAGES[:, 0, :, 0]], ("'place'", "(4,)", "takes (2,)")),
        ([IMAGES, IMAGES[:, 0, :2, 0], LABELS], ("3 parts", "2 inputs, image, place")),
        (IMAGES, ("one array", "2 inputs, image, place")),
        ([IMAGES, IMAGES[:7, 0, :2, 0]], ("24 and 7 rows", "each image")),
    ],
)
def test_several_inputs_that_do_not_fit_are_told_in_one_sentence(given, facts, of_student):
    distiller = still(of_two_inputs(of_student), of_two_inputs(of_student, 1))
    for ask in (distiller.fit, distiller.evaluate):
        refusal(lambda ask=ask: ask(given, LABELS, verbose=0), DataError, *facts)
    if not isinstance(given, np.ndarray) and "rows" not in facts[0]:
        given = tuple(given) if isinstance(given, list) else given
        data = tf.data.Dataset.from_tensor_slices((given, LABELS))
        refusal(lambda: distiller.fit(data.batch(8), verbose=0), DataError, *facts)


@pytest.mark.parametrize("form", [None, list, dict])
def test_a_dicts_arrays_are_taken_by_the_inputs_names(form):
    """As Keras does: a data set's other columns are left out."""
    student, teacher = (of_two_inputs(form, n) if form else linear(n) for n in (0, 1))
    name = "image" if form else student.inputs[0].name
    given = {name: IMAGES, "place": IMAGES[:, 0, :2, 0].astype(np.float32)}
    taken = given if form else IMAGES
    soft = divergence(*(model.predict(taken, verbose=0) for model in (teacher, student)), 3.0)
    for data in data_sets({**given, "id": LABELS}, LABELS):
        found = losses_of(still(student, teacher), **data)
        assert found["soft_loss"] == pytest.approx(soft.mean(), rel=1e-5)


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_matched_models_take_a_dict_by_its_keys():
    """Which may differ from the tensors' names, by which a list's arrays stand in a dict."""
    models = []
    for seed in (0, 1):
        inner = of_two_inputs(list, seed)
        inputs = dict(zip(("pixels", "where"), inner.inputs, strict=True))
        models.append(keras.Model(inputs, inner.outputs[0]))
    given = {"pixels": IMAGES, "where": IMAGES[:, 0, :2, 0].astype(np.float32)}
    maps = [model.predict(given, verbose=0) for model in models]
    expected = np.mean(keras.ops.convert_to_numpy(feature_loss("similarity")(maps[1], maps[0])))
    layer = [model.layers[-1].name for model in models]
    distiller = still(*models, features=FeatureMatch(*layer, "similarity"))
    found = losses_of(distiller, {**given, "id": LABELS}, LABELS)["feature_loss"]
    assert found == pytest.approx(expected, rel=1e-4) and found > 0


class Picking(keras.Model):
    """A teacher without a graph that takes a dict."""

    def __init__(self, inner, name):
        super().__init__()
        self.inner, self.called = inner, name

    def call(self, images):
        return self.inner(images[self.called])


@pytest.mark.filterwarnings("error:The teacher .* resized for the teacher")
@pytest.mark.parametrize("built_with", [None, ("large",), ("large", "student")])
def test_a_teacher_takes_its_own_array_of_a_dict(built_with):
    """It was shown the student's, resized, where the batch has images of its size; later only the
    warning said so.
    """
    image = keras.Input((4, 4, 1), name="student")
    student = keras.Model(image, linear()(image))
    large = keras.Input((8, 8, 1), name="large")
    logits = layers.Dense(3)(layers.Flatten()(layers.Rescaling(1 / 255)(large)))
    inner, shown = keras.Model(large, logits), IMAGES.repeat(2, 1)[:, :, ::-1].repeat(2, 2)
    teacher, batch = inner, {"student": IMAGES, "large": shown}
    if built_with:
        teacher = Picking(inner, "large")
        teacher({name: batch[name] for name in built_with})
    soft = divergence(inner.predict(shown, verbose=0), student.predict(IMAGES, verbose=0), 3.0)
    for data in data_sets({**batch, "id": LABELS}, LABELS):
        # Anew, as each warning is given once.
        found = losses_of(still(student, teacher), **data)
        assert found["soft_loss"] == pytest.approx(soft.mean(), rel=1e-5)


def test_names_of_files_beside_images_do_not_hide_what_a_teacher_gives():
    """As pandas has them: probabilities of a teacher without a graph were refused then."""
    image = keras.Input((4, 4, 1), name="student")
    teacher = Picking(keras.Model(image, layers.Softmax()(linear(1)(image))), "student")
    teacher({"student": IMAGES})
    distiller = still(keras.Model(image, linear()(image)), teacher)
    names = np.array([f"{row}.png" for row in range(len(IMAGES))], object)
    with pytest.warns(UserWarning, match="gives probabilities p, not logits"):
        found = losses_of(distiller, {"student": IMAGES, "name": names}, LABELS)["soft_loss"]
    taught, learnt = linear(1).predict(IMAGES, verbose=0), linear().predict(IMAGES, verbose=0)
    assert found == pytest.approx(divergence(taught, learnt, 3.0).mean(), rel=1e-5)


def test_a_dict_without_the_inputs_name_is_told():
    student = linear()
    refusal(
        lambda: still(student).fit({"a": IMAGES, "id": LABELS}, LABELS, verbose=0),
        DataError,
        "dict of 2 parts (a, id)",
        "takes one array",
    )


class Raw(keras.Model):
    """A teacher without a graph, which casts no images."""

    def __init__(self):
        super().__init__()
        self.maps, self.pool = layers.Conv2D(3, 1), layers.GlobalAveragePooling2D()

    def call(self, images):
        return self.pool(self.maps(images))


def test_a_batch_that_a_teacher_can_not_compute_is_told_in_one_sentence():
    teacher = Raw()
    teacher(IMAGES.astype(np.float32))
    for data in data_sets(IMAGES, LABELS):
        refusal(
            lambda data=data: still(linear(), teacher).fit(**data, verbose=0),
            ModelError,
            f"teacher {teacher.name} can't compute a batch of uint8 ",
            "float32 images",
        )
    still(linear(), teacher).fit(IMAGES.astype(np.float32), LABELS, verbose=0)


def test_inputs_that_do_not_fit_are_told_in_one_sentence():
    two = of_two_inputs(list)
    refusal(lambda: compiled(linear(), two), ModelError, "2 inputs", "one input")
    refusal(lambda: compiled(two, linear()), ModelError, "2 inputs", "one input")
    refusal(lambda: compiled(linear(), linear(1)).fit(list(IMAGES), LABELS), DataError, "24 parts")


def of_any_size(shape, seed=0):
    image = keras.Input(shape)
    kernel = keras.initializers.HeUniform(seed)
    x = layers.Conv2D(3, 1, kernel_initializer=kernel)(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


def batches_of(images, shape):
    """A data set whose graph knows of its images what `shape` tells, None for nothing."""
    signature = (tf.TensorSpec(shape, tf.uint8), tf.TensorSpec((None,), tf.int64))
    return tf.data.Dataset.from_generator(
        lambda: iter([(images, LABELS)]), output_signature=signature
    )


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("of_student", [(4, 4, 1), (None, None, 1)])
def test_images_of_unknown_sizes_are_resized_for_the_teacher_whatever_their_size(
    of_student, jit_compile
):
    """Those of another size than the student's Input ended in TensorFlow's traceback, and those of
    a student of any size were not resized.
    """
    images = IMAGES.repeat(2, 1).repeat(3, 2)  # 8x12
    student, teacher = of_any_size(of_student), of_any_size((6, 6, 3), 1)
    resized = keras.ops.image.resize(images.astype("float32"), (6, 6), antialias=True)
    answers = teacher.predict(np.repeat(resized, 3, -1), verbose=0)
    expected = divergence(answers, np.asarray(of_any_size((None, None, 1))(images)), 3.0).mean()
    distiller = compiled(student, teacher, jit_compile=jit_compile)
    found = distiller.fit(batches_of(images, (None, None, None, None)), verbose=0).history
    assert found["soft_loss"] == pytest.approx([expected], rel=1e-4)


@pytest.mark.parametrize("teacher", [None, (4, 4, 1), (6, 6, 1)])
def test_images_of_unknown_rank_are_told_to_be_stated(teacher):
    options = {} if teacher else {"beta": 0.0}
    distiller = compiled(linear(), of_any_size(teacher) if teacher else None, **options)
    data = batches_of(IMAGES, None)
    for ask in (distiller.fit, distiller.evaluate):
        refusal(lambda ask=ask: ask(data, verbose=0), DataError, "axes", "(None, 4, 4, 1)")
    stated = data.map(lambda image, label: (tf.ensure_shape(image, (None, 4, 4, 1)), label))
    distiller.fit(stated, verbose=0)
    distiller.predict(IMAGES, verbose=0)
    refusal(lambda: distiller.predict(IMAGES[..., 0], verbose=0), DataError, "images[..., None]")
