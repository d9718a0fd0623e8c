"""Models to train from keras.applications, files and functions of the user's own."""

from __future__ import annotations

import random
import re
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import models
from keras_kd.errors import ModelError
from keras_kd.models import _applications, sources, trusted_modules

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
OWN = """
import keras
from keras import layers

@keras.saving.register_keras_serializable("own_net")
class Scaled(layers.Layer):
    def call(self, x):
        return x / 255

def net(num_classes, input_shape=(8, 8, 1)):
    image = keras.Input(input_shape)
    x = layers.Flatten()(Scaled()(image))
    return keras.Model(image, layers.Dense(num_classes)(x))

def _ending(last, image=(8, 8, 1)):
    return keras.Sequential([keras.Input(image), layers.Flatten(), last])

def ten(): return _ending(layers.Dense(10))
def large(): return _ending(layers.Dense(3), (16, 16, 3))
def soft(): return _ending(layers.Dense(3, activation="softmax"))
def sigmoid(): return _ending(layers.Dense(3, activation="sigmoid"))
def hidden():
    half = layers.Lambda(lambda x: x / 2)
    return keras.Sequential([keras.Input((8, 8, 1)), half, layers.Flatten(), layers.Dense(3)])
def frozen():
    model = _ending(layers.Dense(3))
    model.trainable = False
    return model
def two():
    images = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    return keras.Model(images, layers.Dense(3)(layers.Flatten()(layers.Add()(images))))
def open_sized():
    image = keras.Input((None, None, 1))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(image)))
def open_small():
    image = keras.Input((None, None, 1))
    return keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(3, 9)(image)))
def nothing(): return "a model"
def unbuilt(): return keras.Sequential([layers.Flatten(), layers.Dense(3)])
class OwnCall(keras.Sequential):
    def call(self, x):
        return 2 * super().call(x)
def own_call(): return OwnCall([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)])
class Back(layers.Layer):
    def __init__(self, dense):
        super().__init__(name="back")
        self.dense = dense
    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.dense.kernel))
def tied():
    image = keras.Input((8, 8, 1))
    forth = layers.Dense(3, name="forth")
    x = Back(forth)(forth(layers.Flatten()(image)))
    return keras.Model(image, layers.Dense(3)(x))
def width(width): return ten()
def small(): return keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(3, 9)])
def broken(): return 1 / 0
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAKD_TRUSTED_MODULES", "")
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("name", ["MobileNetV3Small", "VGG16", "MobileNet"])
def test_an_application_does_to_pixels_what_its_preprocessing_does(name):
    make = getattr(keras.applications, name)
    preprocess = sys.modules[make.__module__].preprocess_input
    ours = sources.build(f"keras:{name}", 3, (32, 32, 3), seed=1)
    theirs = make(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    theirs.set_weights(ours.get_weights()[:-2])
    if name == "VGG16":  # It reads blue first, and ours red.
        _applications._turn_channels(theirs)
    features = np.asarray(theirs(preprocess(PIXELS.copy())))
    kernel, bias = ours.get_weights()[-2:]
    expected = features @ kernel + bias
    np.testing.assert_allclose(ours(PIXELS), expected, rtol=1e-3, atol=1e-4 * np.ptp(expected))


def test_an_application_takes_gray_images_and_named_heads_and_has_its_seeds_weights():
    heads = {"kind": 3, "size": None}
    one, same, other = (
        sources.build("keras:MobileNetV3Small", 3, (32, 32, 1), seed=seed, heads=heads)
        for seed in (1, 1, 2)
    )
    assert {name: output.shape[-1] for name, output in one.output.items()} == {"kind": 3, "size": 1}
    for first, second in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])


def test_a_seed_leaves_pythons_own_random_numbers_as_they_were():
    random.seed(5)
    expected = random.random()
    random.seed(5)
    sources.build("keras:MobileNetV3Small", 3, (32, 32, 3), seed=1)
    assert random.random() == expected


def test_a_files_layers_get_new_weights_and_the_datas_head(tmp_path):
    file = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(5, "softmax")]
    )
    file.save(tmp_path / "net.keras")
    model = sources.build(str(tmp_path / "net.keras"), 3, (8, 8, 1), seed=1)
    assert model.input_shape == (None, 8, 8, 1) and model.output_shape == (None, 3)
    assert not np.array_equal(model.get_layer(file.layers[0].name).kernel, file.layers[0].kernel)
    again = sources.build(str(tmp_path / "net.keras"), 3, (8, 8, 1), seed=1)
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])


def test_what_no_training_sets_is_kept_of_a_files_layers(tmp_path):
    """Frozen layers would stay random, and a Normalization would normalise nothing."""
    images = np.random.default_rng(0).uniform(0, 255, (20, 8, 8, 3)).astype(np.float32)
    norm = layers.Normalization()
    norm.adapt(images)
    body = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten()])
    body.trainable = False
    image = keras.Input((8, 8, 3))
    file = keras.Model(image, layers.Dense(5)(layers.Dense(6)(body(norm(image)))))
    file.save(tmp_path / "net.keras")
    model = sources.build(str(tmp_path / "net.keras"), 3, (8, 8, 3), seed=1)
    old, new = file.get_weights(), model.get_weights()
    assert [np.array_equal(*pair) for pair in zip(old[:7], new[:7], strict=True)] == [
        *[True] * 5,  # mean, variance and count; kernel and bias that are frozen
        *[False, True],  # a new kernel and its bias of zeros
    ]
    shown = model.get_layer(norm.name)(images)
    np.testing.assert_allclose(np.std(shown, (0, 1, 2)), 1, atol=1e-3)


def test_what_lora_adds_to_is_the_files_and_learns_nothing(tmp_path):
    """LoRA freezes the kernel, and a random one would stay random."""
    file = keras.Sequential(
        [keras.Input((4, 4, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(5)]
    )
    file.layers[0].enable_lora(2)
    file.layers[0].lora_kernel_b.assign(np.ones(file.layers[0].lora_kernel_b.shape))
    file.save(tmp_path / "net.keras")
    (new,) = sources.build(str(tmp_path / "net.keras"), 3, (4, 4, 3), seed=1).layers[1:2]
    # Keras stores the kernel with what LoRA has added to it.
    np.testing.assert_allclose(new._kernel, file.layers[0].kernel, rtol=1e-5)
    assert np.any(new.lora_kernel_a) and not np.any(new.lora_kernel_b)


def test_a_functions_model_is_for_the_datas_classes_and_size(own):
    model = sources.build(f"{own}:net", 3, (6, 6, 1))
    assert model.input_shape == (None, 6, 6, 1) and model.output_shape == (None, 3)
    assert sources.build(f"{own}:open_sized", 3, (8, 8, 1)).input_shape == (None, 8, 8, 1)


def test_a_function_of_a_module_is_found_by_its_dotted_name(own, monkeypatch):
    monkeypatch.syspath_prepend(str(own.parent))
    assert sources.build("own:net", 4, (8, 8, 1)).output_shape == (None, 4)
    assert sources.called("own:net") == sources.called(f"{own}:net") == "own.net"


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("ten", "logits: 10, and the data ask for 3 logits.*num_classes"),
        ("large", "takes 16x16x3, and the images are 8x8x1.*input_shape.*--image-size"),
        ("soft", "ends in probabilities.*softmax"),
        ("sigmoid", "ends in sigmoids.*sigmoid"),
        ("hidden", "Lambda layer .* no file can hold"),
        ("frozen", "nothing that learns"),
        ("two", "2 inputs"),
        ("nothing", "returned a str.*keras.Model"),
        ("unbuilt", "returned a Sequential: .*begins with keras.Input"),
        ("own_call", "returned a OwnCall: .*without a `call` of its own"),
        ("tied", "one weight in two layers, forth and back, which training would part"),
        ("width", "asks for width.*num_classes, input_shape"),
        ("broken", f"raised ZeroDivisionError .division by zero. in line {len(OWN.splitlines())}"),
        ("small", f"raised ValueError .* in line {len(OWN.splitlines()) - 1}:.* --image-size"),
        ("open_small", "open_small.* can't be built for images of 8x8x1.*larger --image-size"),
        ("absent", "no function 'absent'"),
    ],
)
def test_what_can_not_be_trained_is_one_sentence(own, function, told):
    with pytest.raises(ModelError, match=told) as error:
        sources.build(f"{own}:{function}", 3, (8, 8, 1))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("resemotnet", "did you mean resemotenet"),
        ("keras:MobileNetV3Smal", "did you mean keras:MobileNetV3Small"),
        ("nowhere.keras", "No model at student='nowhere.keras'"),
        ("D", "A, B, C.*keras:NAME.*.keras file.*file.py:function"),
    ],
)
def test_an_unknown_source_is_told_with_what_there_is(source, told):
    with pytest.raises(ModelError, match=told):
        sources.require_known("student", source)


def test_an_application_that_needs_larger_images_says_so():
    with pytest.raises(ModelError, match="VGG16 can't be built for images of 8x8x3.*--image-size"):
        sources.build("keras:VGG16", 3, (8, 8, 3))
    with pytest.raises(ModelError, match="1 or 3 channels"):
        sources.build("keras:VGG16", 3, (32, 32, 4))


def test_content_is_the_same_in_every_process_and_changes_with_the_code(own):
    source = f"{own}:net"
    before = sources.content(source, 3, (8, 8, 1))
    keras.layers.Dense(1)  # Keras numbers what comes after it otherwise.
    layers.Flatten()
    assert sources.content(source, 3, (8, 8, 1)) == before
    assert sources.content(source, 4, (8, 8, 1)) != before
    own.write_text(OWN.replace("x / 255", "x / 127"))
    assert sources.content(source, 3, (8, 8, 1)) != before
    assert all(sources.content(name, 3, (8, 8, 1)) is None for name in ("B", "keras:VGG16"))


def test_naming_a_function_trusts_the_layers_beside_it(own):
    sources.build(f"{own}:net", 3, (8, 8, 1))
    assert re.search("own_net>Scaled", " ".join(trusted_modules.own_objects()))


def test_the_shipped_ones_are_built_as_before():
    one, other = (
        models.build("C", 3, (32, 32, 1), seed=1),
        sources.build("C", 3, (32, 32, 1), seed=1),
    )
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
