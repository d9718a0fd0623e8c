"""EmoNet: the published numbers, and equality with an independent PyTorch definition in both
directions.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_kd import checkpoints, compact, models
from keras_kd.datasets.class_permutation import permutation
from keras_kd.errors import ModelError
from keras_kd.models import keras_file
from keras_kd.models.architectures import emonet
from keras_kd.models.surgery import precision
from keras_kd.runtimes import multiply_accumulates

HEADS = {"expression": 8, "valence": None, "arousal": None}


@pytest.fixture(scope="module")
def model():
    return models.build("emonet", heads=HEADS, seed=1)


def _size(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def test_parameters_are_the_published_ones(model):
    assert _size(model.trainable_weights) == 13_963_410
    assert {name: output.shape for name, output in model.output.items()} == {
        "expression": (None, 8), "valence": (None, 1), "arousal": (None, 1),
    }  # fmt: skip
    emonet.freeze_alignment(model)
    assert _size(model.trainable_weights) == 1_856_906
    model.trainable = True
    assert (
        _size(models.build("emonet", heads={**HEADS, "expression": 5}).trainable_weights)
        == 13_963_023
    )


def test_multiply_accumulates_are_the_published_ones(model):
    assert multiply_accumulates.of_model(model) == pytest.approx(16.94e9, rel=0.01)


def test_only_its_own_image_size(model):
    assert model.input_shape == (None, 256, 256, 3)
    with pytest.raises(
        ModelError, match=r"takes images of 256x256 pixels .* input_shape=\(224, 224, 3\)"
    ):
        models.build("emonet", input_shape=(224, 224, 3))


def test_wrong_heads_are_refused():
    with pytest.raises(ModelError, match="heads must name outputs of 2 or more classes"):
        models.build("emonet", heads={"expression": 1})
    with pytest.raises(ModelError, match="heads must name outputs"):
        models.build("emonet", heads={})


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A PyTorch network, its weights in a file as its authors', and the Keras model from that
    file.
    """
    torch = pytest.importorskip("torch", reason="the comparison needs PyTorch (the extra torch)")
    import torch_reference as reference

    torch.set_num_threads(1)
    network = reference.randomised(reference.EmoNet(), 1)
    # Fifty blocks that each add to what they are given would let the values grow without end.
    for name, parameter in network.named_parameters():
        if parameter.ndim == 4 and "." in name:
            parameter.data /= 2
    network.l1.weight.data /= 20
    path = tmp_path_factory.mktemp("emonet") / "emonet_8.pth"
    torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, path)
    return network, path, *checkpoints.load(path, "emonet")


def test_every_published_key_has_its_place(published):
    network, _, model, spec = published
    assert len(network.state_dict()) == 682
    back = checkpoints.state_dict(model)
    expected = {
        key: value.numpy()
        for key, value in network.state_dict().items()
        if "num_batches" not in key
    }
    assert back.keys() >= expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)
    assert spec.class_names == (
        "neutral",
        "happy",
        "sad",
        "surprise",
        "fear",
        "disgust",
        "anger",
        "contempt",
    )
    assert spec.input_shape == (256, 256, 3)
    assert _size(model.trainable_weights) == 1_856_906


@pytest.mark.slow
def test_outputs_are_the_same_as_in_pytorch(published):
    import torch

    network, _, model, _ = published
    images = (
        np.random.default_rng(2)
        .integers(0, 256, (2, 4, 4, 3), np.uint8)
        .repeat(64, axis=1)
        .repeat(64, axis=2)
    )
    with torch.no_grad():
        shown = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        logits, valence, arousal, heatmaps = (values.numpy() for values in network(shown))
    outputs = {**model.output, "heatmaps": model.get_layer("l1").output}
    found = keras.Model(model.input, outputs)(images, training=False)
    expected = {
        "expression": logits,
        "valence": valence[:, None],
        "arousal": arousal[:, None],
        "heatmaps": heatmaps.transpose(0, 2, 3, 1),
    }
    spread = np.ptp(np.concatenate([logits, valence[:, None], arousal[:, None]], axis=1))
    assert (
        spread < 1000
        and np.ptp(logits, axis=0).max() > 0.02 * spread
        and found.keys() == expected.keys()
    )
    for name, wanted in expected.items():
        allowed = 1e-4 * (np.ptp(wanted) if name == "heatmaps" else spread)
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=allowed, err_msg=name)


def test_it_can_be_rebuilt_in_another_precision(model):
    assert compact(model) is model
    fast = precision.with_policy(model, "mixed_bfloat16")
    assert fast.get_layer("m0.b1_4.conv1").compute_dtype == "bfloat16"
    assert [output.dtype for output in fast.outputs] == ["float32"] * 3


@pytest.mark.slow
def test_a_saved_teacher_is_the_same(published, tmp_path):
    _, _, model, spec = published
    keras_file.save(model, tmp_path / "teacher.keras", spec)
    again, stored = keras_file.load(tmp_path / "teacher.keras")
    images = np.random.default_rng(3).integers(0, 256, (1, 256, 256, 3), np.uint8)
    for name, wanted in model(images, training=False).items():
        np.testing.assert_allclose(
            again(images, training=False)[name], wanted, rtol=1e-5, atol=1e-6
        )
    affectnet = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
    assert permutation(stored.class_names, affectnet).tolist() == list(range(8))


def test_other_heads_have_no_published_form():
    model = keras.Model(*(2 * [keras.Input((4,))]), name="emonet")
    with pytest.raises(
        ModelError, match="has the heads expression, valence, arousal, and this model has others"
    ):
        checkpoints.state_dict(model)
