"""Models that have learnt nothing are told apart from trained ones."""

import keras
import numpy as np
from keras import layers

from keras_kd.models.untrained import is_untrained


def _model(bias: bool = True) -> keras.Model:
    inside = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 3, use_bias=bias)])
    stack = [layers.Conv2D(4, 1, use_bias=bias), inside, layers.GlobalAveragePooling2D()]
    end = layers.Dense(3, use_bias=bias, kernel_initializer=keras.initializers.GlorotUniform(3))
    model = keras.Sequential([keras.Input((8, 8, 3)), *stack, end])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_one_step_of_training_is_seen() -> None:
    model = _model()
    assert is_untrained(model)
    model.train_on_batch(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), np.array([0, 1, 2, 0]))
    assert not is_untrained(model)


def test_weights_set_by_hand_are_no_draw() -> None:
    model = _model()
    for kernel in (20 * np.ones((4, 3)), 0.1 * np.eye(4)[:, :3]):
        model.layers[-1].set_weights([kernel, np.zeros(3)])
        assert not is_untrained(model)


def test_without_biases_nothing_is_known() -> None:
    assert not is_untrained(_model(bias=False))


def test_a_kernel_of_one_dimension_is_no_draw() -> None:
    class Scale(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=shape[-1:], name="kernel")

        def call(self, image):
            return image * self.kernel

    assert not is_untrained(keras.Sequential([keras.Input((8, 8, 3)), Scale(), _model()]))


def test_attention_and_gates_begin_with_other_numbers() -> None:
    image = keras.Input((8, 8))
    attended = layers.MultiHeadAttention(2, 4)(image, image)
    model = keras.Model(image, layers.Dense(3)(layers.LSTM(4)(attended)))
    assert is_untrained(model)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(np.random.default_rng(0).normal(size=(4, 8, 8)), np.array([0, 1, 2, 0]))
    assert not is_untrained(model)
