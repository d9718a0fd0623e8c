"""Settings, teachers and students that the Distiller refuses in one sentence."""

from __future__ import annotations

import keras
import pytest
from small_students import (
    IMAGES,
    LABELS,
    compiled,
    linear,
)

from keras_kd.distiller import Distiller
from keras_kd.errors import ConfigError, ModelError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be above 0 and finite. Received: temperature=0."),
        ({"temperature": float("nan")}, "Received: temperature=nan."),
        ({"temperature": float("inf")}, "Received: temperature=inf."),
        ({"alpha": 1.5}, "alpha must be between 0 and 1. Received: alpha=1.5."),
        ({"alpha": -0.1}, "Received: alpha=-0.1."),
        ({"beta": -1}, "beta must be 0 or more and finite. Received: beta=-1."),
        (
            {"class_weights": [1, 2]},
            "one value for each of the student's 3 classes. Received: 2 values.",
        ),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        Distiller(linear(), **options)
    assert message in str(caught.value)


def test_a_missing_teacher_is_told_in_one_sentence():
    with pytest.raises(ModelError) as caught:
        compiled(linear()).fit(IMAGES, LABELS, verbose=0)
    assert str(caught.value).startswith(
        "No teacher to learn from: give Distiller a teacher, or batches whose y is"
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [1, 5])
def test_a_teacher_of_other_classes_is_told_in_one_sentence(classes):
    with pytest.raises(ModelError) as caught:
        compiled(linear(), linear(1, classes)).fit(IMAGES, LABELS, verbose=0)
    assert str(caught.value).startswith(
        f"The teacher's logits are of {classes} classes and the student's logits of 3"
    )
    assert "\n" not in str(caught.value)


def test_a_student_whose_outputs_are_unknown_is_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    called = Subclassed(name="open")
    called(IMAGES)
    wrap = "open, a subclassed model, are unknown, even if it was called: give keras.Model"
    for student, words in (
        (Subclassed(name="open"), wrap),
        (called, wrap),
        (keras.Sequential([keras.layers.Dense(3)], name="open"), "open are unknown before it runs"),
    ):
        with pytest.raises(ModelError, match=f"The outputs of the student {words}"):
            Distiller(student)


def test_a_student_of_masked_sequences_is_refused_and_of_one_answer_each_taken():
    """Keras' own losses leave the masked places out; counted, they would change the loss."""
    sequence = keras.Input((7, 3))
    states = keras.layers.LSTM(5, return_sequences=True)(keras.layers.Masking()(sequence))
    with pytest.raises(ModelError, match="The output of the student tags has a mask"):
        Distiller(keras.Model(sequence, keras.layers.Dense(4)(states), name="tags"))
    Distiller(keras.Model(sequence, keras.layers.Dense(4)(keras.layers.LSTM(5)(states))))
