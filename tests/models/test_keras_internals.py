"""What keras_internals reads behind Keras' public names: each fails when a release changes it."""

import keras
import pytest
from keras import layers

from keras_kd.errors import ModelError
from keras_kd.models.architectures.efficientformer import LayerScale
from keras_kd.models.surgery import keras_internals as internals


def _model() -> tuple[keras.Model, layers.Dense, list[keras.KerasTensor]]:
    first, second, shared = keras.Input((4,)), keras.Input((4,)), layers.Dense(2, name="shared")
    outputs = [shared(first), shared(second)]
    return keras.Model([first, second], layers.Add(name="sum")(outputs)), shared, outputs


def test_what_is_refused_in_a_call_keeps_its_sentence():
    class Refusing(layers.Layer):
        def call(self, image):
            raise ModelError("One sentence.")

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Refusing()

        def call(self, image):
            return self.inner(image)

    with pytest.raises(ModelError) as caught:
        Outer()(keras.ops.zeros((1, 2)))
    assert str(caught.value) == "One sentence."


def test_functional_is_the_class_of_models_made_of_tensors():
    model, *_ = _model()
    assert type(model) is internals.Functional
    assert not isinstance(keras.Sequential(), internals.Functional)


def test_the_producer_of_a_tensor_is_the_layer_the_call_and_the_place():
    _, shared, outputs = _model()
    assert [internals.producer(tensor) for tensor in outputs] == [(shared, 0, 0), (shared, 1, 0)]
    assert internals.layer_of(outputs[1]) is shared


def test_a_mask_is_seen_at_the_output_that_it_reaches():
    words = keras.Input((5,), dtype="int32")
    states = layers.LSTM(3, return_sequences=True)(layers.Embedding(9, 4, mask_zero=True)(words))
    assert internals.is_masked(layers.Dense(2)(states))
    assert not internals.is_masked(layers.Dense(2)(layers.LSTM(3)(states)))


def test_whose_a_class_is_and_whether_keras_computes_it_itself():
    class Own(layers.Dense):
        pass

    things = (layers.Dense(1), keras.metrics.AUC(), LayerScale(), Own(1))
    assert list(map(internals.is_of_keras, things)) == [True, True, False, False]
    assert list(map(internals.is_of_keras_or_keras_kd, things)) == [True, True, True, False]
    calling_others = (layers.TorchModuleWrapper, layers.JaxLayer, layers.TFSMLayer)
    kinds = (layers.Dense, LayerScale, Own, *calling_others)
    assert list(map(internals.is_native_layer, kinds)) == [True] + [False] * 5


def test_calls_and_readers_of_a_shared_layer():
    model, shared, outputs = _model()
    assert [call.output_tensors[0] is output for call, output in
            zip(internals.calls(shared), outputs, strict=True)] == [True, True]  # fmt: skip
    assert set(internals.readers(shared)) == {model.get_layer("sum")}


def test_calls_come_after_those_that_they_need():
    model, shared, _ = _model()
    names = [call.operation.name for call in internals.calls_in_order(model)]
    assert names[-3:] == ["shared", "shared", "sum"]
    assert len(names) == 5


def test_all_layers_looks_inside_of_nested_models_and_wrappers():
    model, shared, _ = _model()
    wrapped = layers.TimeDistributed(layers.Dense(3, name="inner"))
    outer = keras.Sequential([keras.Input((5, 4)), wrapped, keras.Sequential([layers.Dense(1)])])
    names = {layer.name for layer in internals.all_layers(outer)}
    assert "inner" in names
    assert shared in set(internals.all_layers(model))


def test_weights_without_memory_leave_none_behind():
    waiting = len(internals.global_state.get_global_attribute("uninitialized_variables", []))
    with internals.no_memory_for_weights():
        model = keras.Sequential([keras.Input((4,)), layers.Dense(10**6)])
        assert model.weights[0].shape == (4, 10**6)
        assert model.weights[0]._value is None
    left = internals.global_state.get_global_attribute("uninitialized_variables", [])
    assert len(left) == waiting


def test_metrics_of_a_compiled_model_by_its_sorted_outputs():
    image = keras.Input((2,))
    model = keras.Model(image, {"b": layers.Dense(1)(image), "a": layers.Dense(3)(image)})
    own = keras.metrics.MeanMetricWrapper(keras.metrics.mean_absolute_error)
    model.compile(metrics={"b": ["mse", own]}, weighted_metrics={"a": ["accuracy"]})
    batch = {"a": keras.ops.ones((4, 3)), "b": keras.ops.ones((4, 1))}
    found = internals.metrics_of_outputs(model, batch, batch)
    names = [[metric.name for metric in part] for part in found]
    assert names == [["accuracy"], ["mse", own.name]]
    assert internals.metric_function(own) is keras.metrics.mean_absolute_error
    assert internals.metric_function(keras.metrics.AUC()) is None
    model = keras.Model(image, layers.Dense(1)(image))
    model.compile()
    assert internals.metrics_of_outputs(model, batch, batch) == []
