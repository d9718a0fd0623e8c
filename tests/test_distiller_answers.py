"""Teachers' answers that are the same for all images, or not those of the labels, are told."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_students import IMAGES, LABELS, LOGITS, compiled, linear

from keras_kd.distiller import _same_answers

TWICE = np.tile(IMAGES, (2, 1, 1, 1)), np.tile(LABELS, 2)


def of_one_class(scale):
    """A teacher that is sure of class 1 whatever it sees; with a scale of 0, alike sure."""
    teacher = linear(1)
    kernel, bias = teacher.get_weights()
    teacher.set_weights([scale * kernel, bias + np.array([0, 99, 0])])
    return teacher


def test_live_teachers_that_answer_the_same_to_all_images_are_told_once():
    images, labels = TWICE
    distiller = compiled(linear(), [linear(1), of_one_class(0), of_one_class(1)])
    with pytest.warns(UserWarning, match="for all images") as warned:
        distiller.fit(images, labels, 16, epochs=2, validation_data=TWICE, verbose=0)
    # The first teacher's answers differ.
    told = [text for one in warned if "for all images" in (text := str(one.message))]
    assert len(told) == 2
    assert "gives the same output" in told[0] and "answers the same class" in told[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        # So few images may well be of one class.
        distiller.fit(images[:24], labels[:24], 16, verbose=0)


@pytest.mark.parametrize("way", ["arrays", "batches"])
@pytest.mark.parametrize(
    ("row", "told"), [([0, 0, 0], "gives the same output"), ([0, 99, 0], "answers the same class")]
)
def test_stored_outputs_that_are_the_same_for_all_images_are_told_once(way, row, told):
    images, labels = TWICE
    logits = np.tile(LOGITS, (2, 1))
    logits = (logits if any(row) else np.zeros_like(logits)) + np.array(row, np.float32)
    y = {"label": labels, "teacher": logits}

    def batches():
        while True:
            for start in range(0, 48, 16):
                batch = slice(start, start + 16)
                yield images[batch], {name: values[batch] for name, values in y.items()}

    given = (images, y, 16) if way == "arrays" else (batches(),)
    with pytest.warns(UserWarning, match="for all images") as warned:
        compiled(linear()).fit(*given, epochs=2, steps_per_epoch=3, verbose=0)
    # Keras warns of generators, too.
    (said,) = [str(one.message) for one in warned if "for all images" in str(one.message)]
    assert said.startswith(f"The teacher whose outputs the batches bring {told}")


@pytest.mark.filterwarnings("error:.*for all images")
def test_of_a_store_in_the_order_of_classes_no_more_is_read_than_tells_that_they_differ():
    """All of it was made logits at once: of ImageNet's, 5 GB and as much again."""
    read = []

    def logits(rows):
        read.append(len(rows))
        return rows

    _same_answers.warn_of_stored(np.repeat(np.eye(3), 5000, axis=0), logits, "")
    assert max(read) < 5000 and sum(read) < 10_000


@pytest.mark.parametrize(
    ("reordered", "alpha", "told"),
    [
        (lambda logits: logits, 0.2, False),
        (lambda logits: np.roll(logits, 1, axis=1), 0.2, True),
        (lambda logits: np.random.default_rng(3).permutation(logits), 0.2, True),
        (lambda logits: np.roll(logits, 1, axis=1), 0.0, False),
    ],
    ids=["as labels", "classes in another order", "images in another order", "no labels"],
)
@pytest.mark.parametrize("as_shares", [False, True])
def test_stored_outputs_in_another_order_than_labels_are_told(reordered, alpha, told, as_shares):
    """Such a teacher taught without a word."""
    images, labels = np.zeros((99, *IMAGES.shape[1:]), "float32"), np.arange(99) % 3
    logits = 4 * np.eye(3, dtype="float32")[labels]
    logits[:33] = np.roll(logits[:33], 1, axis=1)  # right for two thirds
    y = {"label": np.eye(3)[labels] if as_shares else labels, "teacher": reordered(logits)}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        compiled(linear(), alpha=alpha).fit(images, y, 33, verbose=0)
    said = [str(one.message) for one in warned if "chance would for 33%" in str(one.message)]
    assert len(said) == told


def _chooses(*pixels: int) -> keras.Model:
    """A model that chooses the class whose pixel is bright."""
    dense = keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), dense])
    kernel = np.zeros((16, 3))
    kernel[pixels, range(3)] = 1
    dense.set_weights([kernel, np.zeros(3)])
    return model


@pytest.mark.parametrize("as_data_set", [False, True])
@pytest.mark.parametrize(
    ("teachers", "alpha", "names"),
    [
        ([_chooses(0, 1, 2)], 0.2, []),
        ([_chooses(1, 2, 0)], 0.2, [0]),
        ([_chooses(0, 1, 2), _chooses(1, 2, 0)], 0.2, [1]),
        ([_chooses(1, 2, 0)], 0.0, []),
    ],
    ids=["as labels", "another order", "one of two", "no labels"],
)
def test_a_live_teacher_whose_classes_are_in_another_order_is_told_once(
    teachers, alpha, names, as_data_set
):
    """Such a teacher taught without a word."""
    labels = np.arange(90) % 3
    images = np.zeros((90, 4, 4, 1), "float32")
    images[np.arange(90), 0, labels] = 255
    distiller = compiled(linear(), teachers, alpha=alpha)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(2):
            if as_data_set:
                data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(64)
                distiller.fit(data, verbose=0)
            else:
                distiller.fit(images, labels, verbose=0)
    said = [str(one.message) for one in warned if "chance would" in str(one.message)]
    assert said == [
        f"The teacher {teachers[number].name} chooses the labels' class for 0% of 64 images, and"
        " chance would for 33%: check the order of its classes, and that it takes such pixels."
        for number in names
    ]


def test_of_maps_no_more_images_are_compared_with_labels_than_memory_holds():
    """4,096 images of a million pixels were."""
    image = keras.Input((8, 8, 1))
    student = keras.Model(image, keras.layers.Conv2D(3, 1)(image))
    labels = np.arange(8192).reshape(128, 8, 8) % 3
    wrong = 4 * np.eye(3, dtype="float32")[(labels + 1) % 3]
    with pytest.warns(UserWarning, match=r"0% of 4,096 pixels, and chance would for 33%"):
        compiled(student).fit(
            np.zeros((128, 8, 8, 1)), {"label": labels, "teacher": wrong}, verbose=0
        )


def test_one_answer_shows_all_that_is_looked_at_before_a_fit():
    """One was asked for to compare images of a batch, and another to compare classes."""
    teacher = linear(1, count=True)
    compiled(linear(), teacher).fit(*TWICE, 48, verbose=0)
    # The other two: an image beside itself alone, and the step.
    assert teacher.get_layer("count").calls == 3
