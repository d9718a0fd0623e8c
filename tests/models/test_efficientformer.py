"""EfficientFormer and MobileNetV2: the published numbers, and equality with an independent PyTorch
definition.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_kd import checkpoints, compact, exporters, models
from keras_kd.errors import ModelError
from keras_kd.models import keras_file
from keras_kd.models.architectures.efficientformer import Attention
from keras_kd.models.surgery import precision
from keras_kd.runtimes import multiply_accumulates

PARAMETERS = {"efficientformer-l1": 12_289_928, "efficientformer-l3": 31_406_000}
ACCUMULATES = {"efficientformer-l1": 1.29e9, "efficientformer-l3": 3.89e9, "mobilenetv2": 0.301e9}
L3 = {"widths": (64, 128, 320, 512), "depths": (4, 4, 12, 6), "attention": 4}
JOINT = {"expression": 8, "valence": None, "arousal": None}


def _size(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def _images(count=2, size=64, seed=2):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def _assert_equal(found, expected, share=1e-4):
    assert np.abs(np.asarray(found) - expected).max() <= share * np.ptp(expected)


@pytest.mark.parametrize(
    "name",
    [
        "efficientformer-l1",
        pytest.param("efficientformer-l3", marks=pytest.mark.slow),
        "mobilenetv2",
    ],
)
def test_parameters_and_multiply_accumulates_are_the_published_ones(name):
    model = models.build(name, 1000)
    assert model.input_shape == (None, 224, 224, 3) and model.output_shape == (None, 1000)
    if name == "mobilenetv2":
        # The published number counts the statistics of batch norms too.
        assert model.count_params() - 1000 * 1281 == 2_257_984
    else:
        assert _size(model.trainable_weights) == PARAMETERS[name]
    assert multiply_accumulates.of_model(model) == pytest.approx(ACCUMULATES[name], rel=0.01)


@pytest.mark.parametrize(
    "name", ["mobilenetv2", pytest.param("efficientformer-l1", marks=pytest.mark.slow)]
)
def test_joint_students_are_deterministic_and_export(name, tmp_path):
    model = models.build(name, input_shape=(64, 64, 1), heads=JOINT, dropout=(0.0, 0.3), seed=3)
    same = models.build(name, input_shape=(64, 64, 1), heads=JOINT, dropout=(0.0, 0.3), seed=3)
    for left, right in zip(model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    images = _images()[..., :1]
    found = model(images, training=False)
    assert {head: values.shape for head, values in found.items()} == {
        "expression": (2, 8), "valence": (2, 1), "arousal": (2, 1),
    }  # fmt: skip
    report = exporters.export(model, tmp_path / "student.tflite", "float32", samples=images)
    assert report.max_difference < 1e-4
    assert not [
        operator for operator in report.operators if operator.startswith(("CUSTOM", "Flex"))
    ]


def test_l1_in_mixed_precision_is_near_and_its_outputs_are_float32():
    model, images = models.build("efficientformer-l1", 7, (64, 64, 3), seed=1), _images()
    fast = precision.with_policy(model, "mixed_bfloat16")(images, training=False)
    assert fast.dtype == "float32"
    _assert_equal(fast, np.asarray(model(images, training=False)), 0.03)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match=r"multiples of 32, .* input_shape=\(48, 64, 3\)"):
        models.build("efficientformer-l1", input_shape=(48, 64, 3))
    with pytest.raises(ModelError, match=r"at least 32x32 pixels .* input_shape=\(31, 64, 3\)"):
        models.build("mobilenetv2", input_shape=(31, 64, 3))


def test_attention_looks_at_all_tokens_and_their_distance():
    """With queries of zero every token gets the values' mean weighted by softmax of its biases."""
    layer = Attention((2, 3), heads=1, key=2, value=4)
    x = np.random.default_rng(1).normal(size=(1, 6, 4)).astype(np.float32)
    layer.build(x.shape)
    layer.qkv.kernel.assign(np.concatenate([np.zeros((4, 4)), np.eye(4)], axis=1))
    layer.proj.kernel.assign(np.eye(4))
    table = np.array([[0.0, 1.0, 2.0], [-1.0, 0.5, 3.0]])
    layer.biases.assign(table.reshape(1, 6))
    weights = np.empty((6, 6))
    for i in range(6):
        for j in range(6):
            weights[i, j] = np.exp(table[abs(i // 3 - j // 3), abs(i % 3 - j % 3)])
    expected = weights / weights.sum(axis=1, keepdims=True) @ x[0]
    np.testing.assert_allclose(np.asarray(layer(x))[0], expected, rtol=1e-5, atol=1e-6)


def _network(seed=1, **sizes):
    torch = pytest.importorskip("torch", reason="the comparison needs PyTorch (the extra torch)")
    import torch_reference as reference

    torch.set_num_threads(1)
    return reference.randomised(reference.EfficientFormer(**sizes), seed)


def _logits(network, images):
    import torch
    import torch_reference as reference

    with torch.no_grad():
        return network(reference.normalised(torch.from_numpy(images))).numpy()


def _loaded(network, folder, input_shape):
    import torch

    torch.save({"model": network.state_dict()}, folder / "weights.pth")
    return checkpoints.load(folder / "weights.pth", input_shape=input_shape)


def test_l1_is_the_same_as_in_pytorch_forth_and_back(tmp_path):
    network, images = _network(classes=10, rows=2, columns=3), _images(size=96)[:, :64]
    model, spec = _loaded(network, tmp_path, (64, 96, 3))
    assert (
        model.name == "efficientformer-l1"
        and spec.class_names is None
        and spec.input_shape == (64, 96, 3)
    )
    expected = _logits(network, images)
    assert np.ptp(expected, axis=0).min() > 0.01
    _assert_equal(model(images, training=False), expected)
    _assert_equal(compact(model)(images, training=False), expected)
    keras_file.save(model, tmp_path / "teacher.keras", spec)
    _assert_equal(keras_file.load(tmp_path / "teacher.keras")[0](images, training=False), expected)

    import torch

    checkpoints.save(model, tmp_path / "back.pth")
    other = _network(seed=5, classes=10, rows=2, columns=3)
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert (
        back.keys() | {key for key in network.state_dict() if "num_batches" in key}
        == network.state_dict().keys()
    )
    other.load_state_dict(back, strict=True)
    np.testing.assert_array_equal(_logits(other, images), expected)


def test_blocks_are_the_same_as_in_pytorch(tmp_path):
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    import torch_reference as reference

    network, images = _network(classes=10, rows=2, columns=2), _images(1)
    model, _ = _loaded(network, tmp_path, (64, 64, 3))
    names = [
        "patch_embed.5",
        "network.0.2.layer_scale_2.add",
        "network.1.norm",
        "network.6.4.layer_scale_2.add",
    ]
    maps = keras.Model(model.input, [model.get_layer(name).output for name in names])(
        images, training=False
    )
    with torch.no_grad():
        x = network.patch_embed(reference.normalised(torch.from_numpy(images)))
        wanted = [x, *(x := part(x) for part in network.network)]
    for name, found, expected in zip(
        names, maps, [wanted[0], wanted[1], wanted[2], wanted[-1]], strict=True
    ):
        expected = (expected.permute(0, 2, 3, 1) if expected.ndim == 4 else expected).numpy()
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=1e-4 * np.ptp(expected), err_msg=name
        )


@pytest.mark.slow
def test_l3_is_the_same_as_in_pytorch_at_its_own_size(tmp_path):
    network, images = _network(**L3), _images(size=224)
    model, spec = _loaded(network, tmp_path, None)
    assert model.name == "efficientformer-l3" and spec.input_shape == (224, 224, 3)
    _assert_equal(model(images, training=False), _logits(network, images))


def test_weights_of_another_image_size_are_named(tmp_path):
    network = _network(classes=10, rows=2, columns=2)
    with pytest.raises(
        ModelError, match=r"network.6.4.token_mixer.attention_biases \(8, 4\) instead of \(8, 49\)"
    ):
        _loaded(network, tmp_path, None)
