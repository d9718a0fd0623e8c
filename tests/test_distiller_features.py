"""Outputs of layers that a Distiller matches beside the logits."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from small_students import IMAGES, LABELS, compiled
from test_distiller_entries import refusal
from test_distiller_heads import convolved

import keras_kd
from keras_kd.distiller import Distiller, FeatureMatch
from keras_kd.errors import ConfigError, ModelError


def test_features_of_sequential_models_are_matched():
    def net(seed, channels):
        keras.utils.set_random_seed(seed)
        parts = [
            layers.Conv2D(channels, 3, name="maps"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
        return keras.Sequential([keras.Input((4, 4, 1)), *parts])

    distiller = compiled(
        net(0, 2),
        net(1, 5),
        keras.optimizers.SGD(1e-6),
        features=[keras_kd.FeatureMatch("maps", "maps")],
    )
    logs = distiller.fit(IMAGES, LABELS, epochs=2, verbose=0).history
    assert logs["feature_loss"][1] < logs["feature_loss"][0]
    refusal(
        lambda: Distiller(net(0, 2), net(1, 5), features=[FeatureMatch("map", "maps")]),
        ModelError,
        "'map'",
        "maps",
    )
    refusal(lambda: FeatureMatch("maps", "maps", "cosine"), ConfigError, "hint", "cosine")


def test_a_feature_is_the_one_output_of_a_layer_in_this_model():
    """Also where another model used the layer first."""
    maps, image, other = (
        layers.Conv2D(5, 3, name="maps"),
        keras.Input((4, 4, 1)),
        keras.Input((3, 3, 1)),
    )
    keras.Model(other, maps(other))
    shown = maps(image)
    teacher = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(shown)))
    student = convolved(0, 2)
    match = FeatureMatch("maps", "maps", "attention")
    distiller = compiled(student, teacher, keras.optimizers.SGD(0.0), features=match)
    found = distiller.fit(IMAGES, LABELS, batch_size=24, verbose=0).history["feature_loss"]
    of_teacher = keras.ops.convert_to_numpy(maps(IMAGES.astype("float32")))
    of_student = keras.Model(student.input, student.get_layer("maps").output)(IMAGES)
    expected = keras_kd.losses.feature_loss("attention")(of_teacher, of_student)
    assert found == pytest.approx([float(np.mean(expected))], rel=1e-4)

    again = layers.Conv2D(1, 3, padding="same", name="maps")
    twice = keras.Model(image, layers.Dense(3)(layers.Flatten()(again(again(image)))))
    cell = layers.LSTM(4, return_state=True, name="maps")
    states = keras.Model(image, layers.Dense(3)(cell(layers.Reshape((4, 4))(image))[0]))
    for model, words in ((twice, "is called 2 times"), (states, "has 3 outputs")):
        refusal(
            lambda m=model: Distiller(convolved(0, 2), m, features=match),
            ModelError,
            words,
            "'maps'",
        )


@pytest.mark.parametrize("kind", ["hint", "relational", "similarity"])
def test_vectors_are_matched_too(kind):
    student, teacher = convolved(0, 2), convolved(1, 5)
    names = [model.layers[-2].name for model in (student, teacher)]
    vectors = [
        keras.Model(model.input, model.get_layer(name).output).predict(IMAGES, verbose=0)
        for model, name in zip((student, teacher), names, strict=True)
    ]
    distiller = compiled(student, teacher, features=[FeatureMatch(*names, kind)])
    if kind == "hint":
        kernel, bias = (np.asarray(weight) for weight in distiller.projections[0].weights)
        vectors[0] = vectors[0] @ kernel + bias
    expected = float(np.mean(keras_kd.losses.feature_loss(kind)(vectors[1], vectors[0])))
    logs = distiller.train_on_batch(IMAGES, LABELS, return_dict=True)
    assert logs["feature_loss"] == pytest.approx(expected, rel=1e-4)
    of_maps = FeatureMatch(*names, "attention")
    refusal(
        lambda: Distiller(student, teacher, features=[of_maps]), ModelError, "maps (N, H, W, C)"
    )
