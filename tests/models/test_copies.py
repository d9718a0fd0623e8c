"""Copies of models: equal values, other layers where asked, faults by the layer's name."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.errors import ModelError
from keras_kd.models.surgery.compaction import compact, expand
from keras_kd.models.surgery.copies import as_functional, copied, layers_sharing_a_weight, of_size
from keras_kd.models.surgery.precision import in_float32, in_precision
from keras_kd.models.surgery.tracing import with_graph

IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")


class Scaled(layers.Layer):
    """Takes an argument and has no get_config that tells it."""

    def __init__(self, by, **kwargs):
        super().__init__(**kwargs)
        self.by = by[0]

    def get_config(self):
        return super().get_config()

    def call(self, inputs):
        return inputs * self.by


class Forgetful(layers.Layer):
    """Its configuration lacks a setting, which has a default; another is set later."""

    def __init__(self, by=1.0, **kwargs):
        super().__init__(**kwargs)
        self.by, self.later = by, 1.0

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype_policy.name}

    def call(self, inputs):
        return inputs * self.by * self.later


class Counting(layers.Layer):
    """Counts its calls, and draws numbers."""

    calls = 0

    def call(self, inputs):
        self.calls += 1
        return inputs + keras.random.normal((1, 1, 1, 1), 0, 1e3, inputs.dtype)


class Tripled(keras.Model):
    """With a graph, and with a `call` that goes beyond it."""

    def __init__(self, by=3.0, **kwargs):
        image = keras.Input((8, 8, 3))
        super().__init__(image, layers.Dense(2)(layers.Flatten()(image)), **kwargs)
        self.by = by

    def call(self, inputs, training=None, mask=None):
        return self.by * super().call(inputs, training=training)

    def get_config(self):
        return {"by": self.by, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


class TripledLine(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return 3.0 * super().call(inputs, training=training)


def _line(kind=keras.Sequential):
    return kind([keras.Input((8, 8, 3), name="pixels"), layers.Flatten(), layers.Dense(2)])


def _shared_and_nested() -> keras.Model:
    image = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv")])
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    features = inner(conv(conv(image)) + 1.0)
    return keras.Model(image, {"b": layers.Dense(2)(layers.Flatten()(features)), "a": features})


def _sequential() -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Normalization()])


@pytest.mark.parametrize("made", [_shared_and_nested, _sequential])
def test_a_copy_computes_the_same_in_layers_of_its_own(made):
    model = made()
    copy = copied(model)
    expected, found = model(IMAGES), copy(IMAGES)
    keras.tree.map_structure(np.testing.assert_array_equal, expected, found)
    assert not {id(weight) for weight in model.weights} & {id(weight) for weight in copy.weights}
    assert type(copy) is type(model)
    if isinstance(model, keras.Sequential):
        model, copy = as_functional(model), as_functional(copy)
    assert [one.name for one in copy.operations] == [one.name for one in model.operations]


@pytest.mark.parametrize("made", [Tripled, lambda: _line(TripledLine)])
def test_a_call_of_ones_own_is_neither_lost_nor_copied_in_part(made):
    model = made()
    for rewritten in (copied, as_functional, compact, expand):
        with pytest.raises(ModelError, match="`call`"):
            rewritten(model)
    image = keras.Input((8, 8, 3))
    outer = keras.Model(image, model(image) + layers.Dense(2)(layers.Flatten()(image)))
    np.testing.assert_allclose(copied(outer)(IMAGES), outer(IMAGES), rtol=1e-5)
    wrapped = with_graph(model)
    np.testing.assert_allclose(wrapped(IMAGES), model(IMAGES), rtol=1e-5)
    assert wrapped.inputs[0].shape == (None, 8, 8, 3)


def _own_loss(labels, outputs):
    return keras.ops.mean(abs(labels - outputs))


class OwnOptimizer(keras.optimizers.SGD):
    """Unknown to Keras."""


@pytest.mark.parametrize("place", ["whole", "nested"])
def test_what_a_sequential_model_was_compiled_with_is_not_needed_for_its_copy(place):
    model = _line()
    model.compile(OwnOptimizer(), _own_loss, metrics=[_own_loss])
    if place == "nested":
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, model(image))
    copy = copied(model)
    np.testing.assert_array_equal(copy(IMAGES), model(IMAGES))
    inner = copy if place == "whole" else copy.layers[-1]
    assert type(inner) is keras.Sequential and inner.inputs[0].name == "pixels"


def test_the_scale_of_lora_stays():
    image = keras.Input((8, 8, 3))
    dense, inner = layers.Dense(4), layers.Dense(4)
    rows = layers.TimeDistributed(inner)(layers.Reshape((8, 24))(image))
    model = keras.Model(image, dense(rows))
    for layer in (dense, inner):
        layer.enable_lora(2, lora_alpha=7)
        layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    copy = copied(model)
    np.testing.assert_allclose(copy(IMAGES), model(IMAGES), rtol=1e-5)
    assert copy.layers[-1].lora_alpha == 7


def test_weights_that_another_order_would_mix_up_are_told():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3, name="d")])
    model.quantize("float8")
    with pytest.raises(ModelError, match=r"d is a Dense .*before model.quantize"):
        copied(model)


def _own_activation(inputs):
    return keras.ops.tanh(inputs) / 2


@keras.saving.register_keras_serializable("copies")
def _registered_activation(inputs):
    return keras.ops.tanh(inputs) / 2


@pytest.mark.parametrize("rewritten", [copied, compact])
def test_a_function_of_ones_own_in_a_layer_of_keras_is_told_with_the_way_out(rewritten):
    def line(activation):
        # On a map of one pixel, a kernel of 3x3 has dead taps.
        conv = layers.Conv2D(2, 3, padding="same", activation=activation)
        return keras.Sequential([keras.Input((1, 1, 3)), conv])

    for activation in (_own_activation, lambda inputs: inputs / 2):
        with pytest.raises(ModelError, match=r"\(Conv2D\).*register_keras_serializable"):
            rewritten(line(activation))
    model, image = line(_registered_activation), IMAGES[:, :1, :1]
    np.testing.assert_allclose(rewritten(model)(image), model(image), rtol=1e-5)


class Transposed(layers.Layer):
    """Multiplies by another layer's kernel."""

    def __init__(self, dense, **kwargs):
        super().__init__(**kwargs)
        self.dense = dense

    def call(self, inputs):
        return keras.ops.matmul(inputs, keras.ops.transpose(self.dense.kernel))


def test_weights_in_two_layers_are_found():
    image = keras.Input((8, 8, 3))
    dense = layers.Dense(4, name="forth")
    there = dense(image)
    model = keras.Model(image, Transposed(dense, name="back")(there))
    assert layers_sharing_a_weight(model) == ("forth", "back")
    inner = keras.Sequential([keras.Input((8, 8, 4)), dense.__class__(4)])
    assert layers_sharing_a_weight(keras.Model(image, inner(inner(there)))) is None


def test_a_shared_layer_stays_one_and_is_replaced_once():
    model = _shared_and_nested()
    outer = model.get_layer("conv")
    asked = []

    def replaced(layer):
        asked.append(layer)
        return layers.Conv2D(3, 1, name="conv") if layer is outer else None

    copy = copied(model, replaced, adapted=lambda layer: (
        [layer.get_weights()[0][1:2, 1:2], layer.get_weights()[1]]
        if layer is outer else layer.get_weights()))  # fmt: skip
    assert asked.count(outer) == 1
    kernel, bias = (value.astype("float64") for value in outer.get_weights())
    once = IMAGES @ kernel[1, 1] + bias
    found = copy.get_layer("conv")(IMAGES)
    np.testing.assert_allclose(found, once, atol=1e-5)


def test_lambda_and_layers_without_configuration_are_refused_by_name():
    for layer, name in ((layers.Lambda(lambda x: x, name="mine"), "mine"),
                        (Scaled([2], name="own"), "own")):  # fmt: skip
        model = keras.Sequential([keras.Input((8, 8, 3)), layer, layers.Conv2D(2, 3)])
        with pytest.raises(ModelError, match=name) as caught:
            copied(model)
        assert "safe_mode" not in str(caught.value)


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        pass

    with pytest.raises(ModelError, match="Own"):
        copied(Own())
    with pytest.raises(ModelError, match="Own"):
        as_functional(Own())


def test_float32_reaches_layers_inside_of_wrappers_and_nested_models():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inner = keras.Sequential([keras.Input((8, 24)), layers.Bidirectional(layers.LSTM(3))])
        model = keras.Sequential([keras.Input((8, 8, 3)), layers.Reshape((8, 24)), inner])
    finally:
        keras.config.set_dtype_policy("float32")
    copy = in_float32(model)
    found = {layer.compute_dtype for layer in copy._flatten_layers() if layer.weights}
    assert found == {"float32"}
    np.testing.assert_allclose(copy(IMAGES), np.asarray(model(IMAGES), "float32"), atol=0.02)


def test_a_float32_model_is_itself_under_any_global_policy():
    model = _sequential()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert in_float32(model) is model
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_new_layer_may_have_weights_where_the_old_has_none():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(2.0), layers.Flatten()])
    rescaling = model.layers[0]
    copy = copied(
        model,
        lambda layer: layers.Conv2D(3, 1, use_bias=False) if layer is rescaling else None,
        adapted=lambda layer: [2 * np.eye(3)[None, None]] if layer is rescaling else [],
    )
    np.testing.assert_allclose(copy(IMAGES), model(IMAGES), rtol=1e-6)


def test_a_model_of_open_size_becomes_one_of_one_size_with_its_values():
    image = keras.Input((None, None, 3), name="pixels")
    maps = layers.Conv2D(4, 3, strides=2)(image)
    scores = layers.Dense(2, name="scores")(layers.GlobalAveragePooling2D()(maps))
    model = keras.Model({"pixels": image}, {"scores": scores})
    sized = of_size(model, (8, 6, 3))
    shown = IMAGES[:, :, :6]
    assert sized.inputs[0].shape == (None, 8, 6, 3) and of_size(sized, (8, 6, 3)) is sized
    np.testing.assert_array_equal(
        sized.predict({"pixels": shown})["scores"], model.predict({"pixels": shown})["scores"]
    )
    with pytest.raises(
        ModelError, match=r"shape \(None, None, 3\), not images of shape \(8, 8, 1\)"
    ):
        of_size(model, (8, 8, 1))
    with pytest.raises(ModelError, match="can't be built for images of 2x2x3 .*larger --input"):
        of_size(model, (2, 2, 3))


def _around(layer, policy="float32"):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", strides=8, dtype=policy)(image)
    x = layer(layers.Conv2D(4, 3, padding="same", dtype=policy)(x))
    return keras.Model(image, layers.Flatten()(x))


@pytest.mark.parametrize("done", [compact, in_float32, copied])
def test_a_layer_that_loses_a_setting_when_it_is_made_anew_is_told(done):
    """The copy computed something else, without a word."""
    policy = "mixed_bfloat16" if done is in_float32 else "float32"
    later = Forgetful(name="set_later", dtype=policy)
    later.later = 5.0
    # Of the same precision, less of a difference is no rounding either.
    by = 5.0 if done is in_float32 else 1.1
    for layer in (Forgetful(by, name="given", dtype=policy), later):
        told = f"{layer.name} is a Forgetful that computes something else when it is made anew"
        with pytest.raises(ModelError, match=told):
            done(_around(layer, policy))
    for layer in (Forgetful(dtype=policy), Counting(dtype=policy)):
        assert done(_around(layer, policy)).count_params() > 0


class Head(layers.Layer):
    """A layer of the user's own with one of Keras inside."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Dense(8)

    def call(self, inputs):
        return self.inner(inputs)


class Doubled(keras.Operation):
    """An operation of the user's own."""

    def call(self, inputs):
        return 2 * inputs

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


def test_layers_inside_of_others_may_round_otherwise():
    image = keras.Input((64,))
    model = keras.Model(image, Head()(Doubled()(image)))
    kernel = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    model.layers[-1].inner.kernel.assign(kernel)
    given = np.random.default_rng(1).normal(size=(5, 64)).astype(np.float32)
    for other in (in_precision(model, "bfloat16"), copied(model)):
        found = keras.ops.convert_to_numpy(other(given)).astype(np.float32)
        np.testing.assert_allclose(found, 2 * given @ kernel, atol=0.5)
