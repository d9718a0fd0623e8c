"""Which weights a Distiller trains: the student's, and none of a teacher's."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from small_students import IMAGES, LABELS, compiled, linear
from test_distiller_entries import refusal

from keras_kd.distiller import Distiller, FeatureMatch
from keras_kd.errors import ModelError


def halves(frozen=False):
    """Student and teacher on one body."""
    image, body = keras.Input((4, 4, 1)), layers.Dense(8, "relu", name="body")
    x = body(layers.Flatten()(image))
    body.trainable = not frozen
    return [keras.Model(image, layers.Dense(3)(x)) for _ in range(2)]


def test_a_shared_body_stays_trainable_and_is_refused_unless_frozen():
    student, teacher = halves()
    distiller = Distiller(student, teacher)
    assert len(student.trainable_weights) == 4 and teacher.trainable
    refusal(
        lambda: distiller.compile("sgd"),
        ModelError,
        "share weights that training changes (body/",
        "freeze",
    )
    student, teacher = halves(frozen=True)
    before = teacher.get_weights()
    distiller = compiled(student, teacher)
    assert [weight.shape for weight in distiller.trainable_weights] == [(8, 3), (3,)]
    assert distiller.trainable_variables == distiller.trainable_weights
    distiller.fit(IMAGES, LABELS, verbose=0)
    assert all(
        np.array_equal(old, new) for old, new in zip(before, teacher.get_weights(), strict=True)
    )
    one = linear()
    refusal(lambda: Distiller(one, one), ModelError, "one model", "clone_model")
    one.trainable = False
    refusal(lambda: compiled(one, linear(1)), ModelError, "no trainable weights")


@pytest.mark.parametrize("frozen", [True, False])
def test_a_distillers_trainable_is_the_students_and_leaves_the_teacher_as_it_is(frozen):
    student, teacher = linear(), linear(1)
    teacher.trainable = not frozen
    teacher.layers[-1].bias.trainable = frozen

    def of_teacher():
        return [one.trainable for one in [teacher, *teacher.layers, *teacher.weights]]

    before, names = of_teacher(), [model.layers[-2].name for model in (student, teacher)]
    distiller = Distiller(student, teacher, features=FeatureMatch(*names, "hint"))
    for value in (False, True):
        distiller.trainable = value
        assert student.trainable == distiller.trainable == value
        assert len(distiller.trainable_variables) == (4 if value else 0)
        assert of_teacher() == before
