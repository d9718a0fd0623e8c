"""What a model's outputs are, told from its graph, whatever stands behind its last weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy.special import expit, log_softmax, softmax

from keras_kd.models import heads

LOGITS = np.random.default_rng(0).normal(0, 4, (20, 3)).astype(np.float32)


def ending(end, inputs=2, units=3):
    """A model whose dense layers' outputs go through `end`."""
    image = keras.Input((4, 4, 1))
    x = layers.Flatten()(image)
    return keras.Model(image, end(*[layers.Dense(units)(x) for _ in range(inputs)]))


def activated(activation):
    image = keras.Input((4, 4, 1))
    return keras.Model(image, layers.Dense(3, activation=activation)(layers.Flatten()(image)))


def nested(inner, behind=lambda x: x):
    image = keras.Input((4, 4, 1))
    return keras.Model(image, behind(inner(image)))


def classifier(activation=None):
    return keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3, activation)])


def pooled(activation):
    """A fully convolutional classifier of images of any size."""
    image = keras.Input((None, None, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(image))
    return keras.Model(image, layers.Activation(activation)(x))


def head_alone():
    """A nested model without weights: what it gives depends on what goes in."""
    x = keras.Input((3,))
    return keras.Model(x, layers.Reshape((3,))(layers.Identity()(x)))


def a_lambda(logits):
    return layers.Lambda(lambda x: keras.activations.softmax(x))(logits)


FORMS = {
    "probabilities": [
        lambda: activated("softmax"),
        lambda: activated(keras.activations.softmax),
        lambda: activated(ops.softmax),
        lambda: activated(layers.Softmax()),
        lambda: activated(lambda x: ops.softmax(x)),
        lambda: classifier("softmax"),
        lambda: pooled("softmax"),
        lambda: ending(lambda a, b: layers.Softmax()(a)),
        lambda: ending(lambda a, b: layers.Softmax(axis=1)(a)),
        lambda: ending(lambda a, b: ops.softmax(a)),
        lambda: ending(lambda a, b: a_lambda(a)),
        lambda: ending(
            lambda a, b: layers.Activation("linear", dtype="float32")(layers.Softmax()(a))
        ),
        lambda: ending(lambda a, b: layers.Softmax(dtype="float16")(a)),
        lambda: ending(
            lambda a, b: layers.Reshape((3,))(layers.Reshape((3, 1))(layers.Softmax()(a)))
        ),
        lambda: ending(lambda a, b: layers.Dropout(0.5)(layers.Softmax()(a))),
        lambda: ending(lambda a, b: layers.Average()([layers.Softmax()(a), layers.Softmax()(b)])),
        lambda: ending(lambda a, b: (ops.softmax(a) + ops.softmax(b)) / 2),
        lambda: ending(lambda a, b: ops.exp(a) / ops.sum(ops.exp(a), axis=-1, keepdims=True)),
        lambda: ending(lambda a, b: layers.Softmax()(a / 3.0)),
        lambda: ending(lambda a, b: ops.clip(ops.softmax(a), 1e-7, 1.0)),
        lambda: ending(
            lambda a, b: layers.Concatenate()([1 - ops.sigmoid(a), ops.sigmoid(a)]), units=1
        ),
        lambda: nested(classifier("softmax")),
        lambda: nested(activated("softmax"), layers.Activation("linear")),
        lambda: nested(classifier(), layers.Softmax()),
        lambda: nested(nested(classifier(), layers.Softmax()), head_alone()),
        lambda: keras.Sequential([classifier(), layers.Softmax()]),
        lambda: keras.Sequential([keras.Input((4, 4, 1)), classifier("softmax"), head_alone()]),
    ],
    "logits": [
        lambda: activated(None),
        lambda: activated("linear"),
        lambda: classifier(),
        lambda: pooled("linear"),
        lambda: nested(classifier(), head_alone()),
        lambda: ending(lambda a, b: layers.Average()([a, b])),
        lambda: ending(lambda a, b: layers.BatchNormalization()(a)),
        lambda: ending(lambda a, b: layers.Dense(3)(layers.Softmax()(a))),
        lambda: ending(lambda a, b: a / 3.0),
    ],
    "log-probabilities": [
        lambda: activated("log_softmax"),
        lambda: ending(lambda a, b: ops.log_softmax(a)),
        lambda: ending(lambda a, b: ops.log((ops.softmax(a) + ops.softmax(b)) / 2)),
    ],
    "sigmoids": [
        lambda: activated("sigmoid"),
        lambda: activated("hard_sigmoid"),
        lambda: ending(
            lambda a, b: layers.Concatenate()([ops.sigmoid(a), ops.sigmoid(b)]), units=1
        ),
        lambda: ending(lambda a, b: layers.Average()([ops.sigmoid(a), ops.sigmoid(b)])),
        lambda: ending(lambda a, b: ops.sigmoid(a), units=1),
    ],
    "unknown": [
        lambda: activated("relu"),
        lambda: activated("tanh"),
        lambda: activated("exponential"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "number"),
    [(kind, number) for kind, forms in FORMS.items() for number in range(len(forms))],
)
def test_the_graph_tells_what_the_outputs_are(kind, number):
    model = FORMS[kind][number]()
    before = [np.asarray(weight).copy() for weight in model.weights]
    assert heads.output_kind(model) == kind
    assert all(np.array_equal(old, new) for old, new in zip(before, model.weights, strict=True))


def test_each_head_has_its_kind_and_the_classes_are_asked_by_default():
    image = keras.Input((4, 4, 1))
    x = layers.Flatten()(image)
    outputs = {
        "size": layers.Dense(1, "tanh")(x),
        "smile": layers.Dense(1, "sigmoid")(x),
        "kind": layers.Dense(3, "softmax")(x),
    }
    model = keras.Model(image, outputs)
    assert heads.output_kind(model) == heads.output_kind(model, "kind") == "probabilities"
    assert [heads.output_kind(model, name) for name in ("size", "smile")] == ["unknown", "sigmoids"]


def test_models_without_a_graph_are_unknown():
    class Subclassed(keras.Model):
        def call(self, images):
            return ops.softmax(images)

    model = Subclassed()
    model(np.zeros((1, 3), np.float32))
    assert heads.output_kind(model) == "unknown"
    assert heads.output_kind(keras.Sequential([layers.Dense(3)])) == "unknown"

    class Own(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 3))

        def call(self, x):
            return ops.softmax(x @ self.kernel)

    assert heads.output_kind(ending(lambda a, b: Own()(a))) == "unknown"


class OwnCall(keras.Sequential):
    def call(self, x, training=None, mask=None):
        return ops.softmax(super().call(x))


class OwnModel(keras.Model):
    """With a graph, and with a `call` that goes beyond it."""

    def __init__(self):
        image = keras.Input((4, 4, 1))
        super().__init__(image, layers.Dense(3)(layers.Flatten()(image)))

    def call(self, x):
        return ops.softmax(super().call(x))


@pytest.mark.parametrize(
    "model",
    [OwnModel, lambda: OwnCall([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3)])],
)
def test_a_call_of_ones_own_is_not_its_graph(model):
    own = model()
    assert heads.has_graph(own) and not heads.computes_its_graph(own)
    assert heads.output_kind(own) == heads.output_kind(nested(own)) == "unknown"


class OwnWrapper(layers.Wrapper):
    def call(self, x):
        return ops.softmax(self.layer(x))


def saved_softmax(folder):
    activated("softmax").export(folder, verbose=False)
    return layers.TFSMLayer(folder, call_endpoint="serve")


HIDDEN = {
    "a saved model": saved_softmax,
    "a pipeline": lambda folder: layers.Pipeline([layers.Dense(3), layers.Softmax()]),
    "an own wrapper": lambda folder: OwnWrapper(layers.Dense(3)),
    "a wrapped model": lambda folder: layers.TimeDistributed(activated("softmax")),
    "a wrapped wrapper": lambda folder: layers.TimeDistributed(
        layers.TimeDistributed(keras.Sequential([layers.Dense(3), layers.Softmax()]))
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_layer_that_hides_its_computation_is_unknown(name, tmp_path):
    if name == "a saved model" and keras.backend.backend() != "tensorflow":
        pytest.skip("A TFSMLayer computes on TensorFlow alone")
    layer = HIDDEN[name](str(tmp_path / "saved"))
    size = {"a wrapped model": (2, 4, 4, 1), "a wrapped wrapper": (2, 2, 5)}.get(name, (4, 4, 1))
    image = keras.Input(size)
    assert heads.output_kind(keras.Model(image, layer(image))) == "unknown"


def test_the_kind_can_be_asked_inside_a_traced_function():
    tf = pytest.importorskip("tensorflow", reason="tf.function is TensorFlow's")
    model, kinds = activated("softmax"), []

    @tf.function
    def traced(x):
        kinds.append(heads.output_kind(model))
        return x

    traced(tf.constant(1.0))
    assert kinds == ["probabilities"]


def test_a_quantized_model_keeps_its_kind():
    model = activated("softmax")
    model.quantize("int8")
    assert heads.output_kind(model) == "probabilities"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (softmax(LOGITS, -1), "probabilities"),
        (softmax(LOGITS, -1).astype(np.float16), "probabilities"),
        (np.eye(3)[[0, 2, 1]], "probabilities"),
        (log_softmax(LOGITS, -1), "log-probabilities"),
        (np.log(np.eye(3, dtype=np.float32) + 1e-30), "log-probabilities"),
        (expit(LOGITS), "sigmoids"),
        (expit(LOGITS / 20), "undecided"),
        (0.5 + LOGITS / 50, "undecided"),
        (np.random.default_rng(1).uniform(0, 1, (500, 7)), "undecided"),
        (np.maximum(LOGITS, 0) / 20, "undecided"),
        (LOGITS, "unknown"),
        (np.zeros((5, 3)), "unknown"),
        (np.array([[0.999], [0.998]]), "undecided"),  # no distribution of one class
        (softmax(LOGITS, -1) - 0.1, "unknown"),
        (np.full((4, 3), np.nan), "unknown"),
        (np.empty((0, 3)), "unknown"),
    ],
)
def test_values_tell_probabilities_from_other_numbers(values, kind):
    assert heads.kind_of_values(values) == kind
