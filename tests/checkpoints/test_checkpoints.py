"""PyTorch weights in Keras models and back, against independent PyTorch definitions of the
architectures.
"""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras_kd.cli.main import kerakd

from keras_kd import checkpoints, compact, exporters, models
from keras_kd.checkpoints import _files
from keras_kd.datasets.class_permutation import permutation
from keras_kd.errors import ModelError
from keras_kd.models import keras_file

torch = pytest.importorskip("torch", reason="the comparison needs PyTorch (the extra torch)")
import torch_reference as reference  # noqa: E402

torch.set_num_threads(1)
WIDTHS = {"A": (2, 8), "B": (4, 4), "C": (8, 32), "resemotenet": (1, 16)}
ALL_WIDTHS = [
    name if name != "resemotenet" else pytest.param(name, marks=pytest.mark.slow) for name in WIDTHS
]
BLOCKS = (
    "pool1",
    "pool2",
    "pool3",
    "se_scale",
    "res_block1_relu2",
    "res_block2_relu2",
    "res_block3_relu2",
)


def _network(name="C", classes=7, seed=1):
    divisor, hidden = WIDTHS[name]
    return reference.randomised(reference.ResEmoteNet(divisor, classes, hidden), seed)


def _images(count=4, size=64, seed=2):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def _logits(network, images):
    with torch.no_grad():
        return network(reference.normalised(torch.from_numpy(images))).numpy()


def _run(model, images):
    return np.asarray(model(images, training=False))


def _assert_equal(found, expected, share=1e-4):
    assert np.abs(found - expected).max() <= share * np.ptp(expected)


def _written(network, path, wrapped=lambda tensors: tensors):
    torch.save(wrapped(network.state_dict()), path)
    return path


@pytest.mark.parametrize("name", ALL_WIDTHS)
def test_weights_give_the_same_logits_forth_and_back(name, tmp_path):
    network, images = _network(name), _images()
    model, spec = checkpoints.load(_written(network, tmp_path / "weights.pth"))
    assert model.name == name and spec.input_shape == (64, 64, 3)
    expected = _logits(network, images)
    assert np.ptp(expected, axis=0).min() > 0.01
    _assert_equal(_run(model, images), expected)

    checkpoints.save(model, tmp_path / "back.pth")
    other = _network(name, seed=5)
    other.load_state_dict(torch.load(tmp_path / "back.pth", weights_only=True), strict=True)
    np.testing.assert_array_equal(_logits(other, images), expected)


def test_feature_maps_are_the_same_block_by_block(tmp_path):
    network, images = _network(), _images(2)
    model, _ = checkpoints.load(_written(network, tmp_path / "weights.pth"))
    maps = keras.Model(model.input, [model.get_layer(name).output for name in BLOCKS]).predict(
        images, verbose=0
    )
    with torch.no_grad():
        expected = network.feature_maps(reference.normalised(torch.from_numpy(images)))
    for name, found, wanted in zip(BLOCKS, maps, expected, strict=True):
        wanted = wanted.permute(0, 2, 3, 1).numpy()
        assert np.ptp(wanted) > 0.1, name
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.ptp(wanted), err_msg=name)


@pytest.mark.parametrize(
    ("wrapped", "tolerance"),
    [
        (lambda t: {"epoch": 3, "model_state_dict": t, "loss": 0.5}, 1e-4),
        (lambda t: {"state_dict": {f"module.{key}": value for key, value in t.items()}}, 1e-4),
        (lambda t: {key: value.double() for key, value in t.items()}, 1e-4),
        (lambda t: {key: value.half() for key, value in t.items()}, 1e-2),
        (lambda t: {key: value.bfloat16() for key, value in t.items()}, 1e-1),
        (
            lambda t: {
                key: torch.nn.Parameter(value, value.is_floating_point()).T.T
                if value.ndim == 2
                else value
                for key, value in t.items()
            },
            1e-4,
        ),
    ],
    ids=["model_state_dict", "module prefix", "float64", "float16", "bfloat16", "views"],
)
@pytest.mark.filterwarnings("ignore:The use of `x.T`")
def test_forms_of_files(wrapped, tolerance, tmp_path):
    network, images = _network(), _images()
    expected = _logits(network, images)
    for zipped in (True, False):
        path = tmp_path / f"weights{zipped}.pth"
        torch.save(wrapped(network.state_dict()), path, _use_new_zipfile_serialization=zipped)
        _assert_equal(_run(checkpoints.load(path)[0], images), expected, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_safetensors_agree_with_their_own_library(dtype, tmp_path):
    safetensors = pytest.importorskip(
        "safetensors.torch", reason="the comparison needs safetensors"
    )
    network, images = _network(), _images()
    safetensors.save_file(
        {key: value.to(dtype) for key, value in network.state_dict().items()},
        tmp_path / "a.safetensors",
    )
    model, _ = checkpoints.load(tmp_path / "a.safetensors", model="C")
    _assert_equal(
        _run(model, images), _logits(network, images), 1e-4 if dtype == torch.float32 else 0.1
    )
    checkpoints.save(model, tmp_path / "b.safetensors")
    back = safetensors.load_file(tmp_path / "b.safetensors")
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(back[key], value.to(dtype).float()), key


def test_other_input_sizes_and_gray(tmp_path):
    network = _network()
    path = _written(network, tmp_path / "weights.pth")
    images = _images(size=48)
    model, spec = checkpoints.load(path, input_shape=(48, 48, 3))
    _assert_equal(_run(model, images), _logits(network, images))
    gray, spec = checkpoints.load(path, input_shape=(48, 48, 1))
    expected = _logits(network, images[..., :1].repeat(3, axis=3))
    assert spec.input_shape == (48, 48, 1)
    _assert_equal(_run(gray, images[..., :1]), expected)


def test_class_order_and_form_travel_with_the_model(tmp_path):
    path = _written(_network(), tmp_path / "weights.pth")
    model, spec = checkpoints.load(path)
    keras_file.save(model, tmp_path / "teacher.keras", spec)
    _, stored = keras_file.load(tmp_path / "teacher.keras")
    assert stored.class_names == ("happy", "surprise", "sad", "anger", "disgust", "fear", "neutral")
    assert (stored.value_range, stored.output, stored.input_shape) == (
        (0, 255),
        "logits",
        (64, 64, 3),
    )
    fer2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert permutation(stored.class_names, fer2013).tolist() == [3, 4, 5, 0, 2, 1, 6]
    assert checkpoints.load(path, class_names=tuple("abcdefg"))[1].class_names == tuple("abcdefg")
    other = _written(_network(classes=5), tmp_path / "five.pth")
    assert checkpoints.load(other)[1].class_names is None


def test_a_compact_model_goes_back_with_zeros_for_its_dead_taps(tmp_path):
    network, images = _network(), _images()
    model, _ = checkpoints.load(_written(network, tmp_path / "weights.pth"))
    network.load_state_dict(
        {key: torch.tensor(value) for key, value in checkpoints.state_dict(compact(model)).items()}
    )
    _assert_equal(_logits(network, images), _run(model, images))


def _changed(tensors):
    tensors["extra.weight"] = torch.ones(3)
    del tensors["fc2.bias"]
    tensors["bn1.weight"] = torch.ones(9)
    tensors["conv2.bias"] = torch.zeros(16, dtype=torch.int64)
    return tensors


def test_every_key_is_used_or_named(tmp_path):
    path = _written(_network(), tmp_path / "weights.pth", _changed)
    with pytest.raises(ModelError) as error:
        checkpoints.load(path)
    message = str(error.value)
    assert "lacks fc2.bias;" in message and "holds extra.weight besides" in message
    assert (
        "bn1.weight (9,) instead of (8,)" in message
        and "no floating-point numbers in conv2.bias" in message
    )
    assert "num_batches_tracked" not in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 8}, "is made for 7 classes. Received: num_classes=8"),
        ({"class_names": ("a", "b")}, "is made for 7 classes. Received 2 names: a, b"),
        ({"model": "A"}, "holds weights of C, not of A"),
        ({"model": "vgg"}, "No published weights are known for 'vgg': expected one of A, B, C"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message, tmp_path):
    with pytest.raises(ModelError, match=message.replace(".", r"\.")):
        checkpoints.load(_written(_network(), tmp_path / "weights.pth"), **arguments)


def test_unknown_architectures_and_widths_are_named(tmp_path):
    path = _written(torch.nn.Linear(2, 2), tmp_path / "weights.pth")
    with pytest.raises(
        ModelError, match=r"no known architecture \(weight, bias, \.\.\.\): expected A, B, C"
    ):
        checkpoints.load(path)
    with pytest.raises(
        ModelError, match=r"lacks conv1.weight, .*fc4.bias; it holds weight, bias besides"
    ):
        checkpoints.load(path, model="resemotenet")
    odd = reference.ResEmoteNet(16, 7, 1)
    with pytest.raises(
        ModelError,
        match=r"conv1\.weight has 4 outputs: expected one of 64 \(resemotenet\), 32 \(A\)",
    ):
        checkpoints.load(_written(odd, tmp_path / "odd.pth"))


def test_only_known_models_and_suffixes_are_written(tmp_path):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="other")
    with pytest.raises(ModelError, match="no PyTorch form of other: expected one of A, B, C"):
        checkpoints.save(other, tmp_path / "x.pth")
    with pytest.raises(ModelError, match=r"paths ending in \.pth, \.pt, \.safetensors"):
        checkpoints.save(models.build("C"), tmp_path / "x.bin")
    heads = models.build("C", heads={"expression": 7, "valence": None})
    with pytest.raises(ModelError, match="The heads expression, valence have no PyTorch form"):
        checkpoints.save(heads, tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("format", "suffix"), [("pytorch", ".pth"), ("safetensors", ".safetensors")]
)
def test_exported_students_run_in_pytorch(format, suffix, tmp_path):
    model, images = models.build("C", seed=4), _images()
    model.get_layer("bn2").set_weights([np.full(16, value) for value in (1.3, 0.2, 0.1, 0.5)])
    report = exporters.export(model, tmp_path / f"student{suffix}", format, samples=images)
    assert report.max_difference < 1e-5 and report.format == format
    network = _network(seed=9)
    read = _files.read(report.path)
    network.load_state_dict({key: torch.tensor(value) for key, value in read.items()}, strict=False)
    _assert_equal(_logits(network, images), _run(model, images))


def test_writing_pth_without_pytorch_says_what_else_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ModelError, match=r"pip install 'keras-kd\[torch\]', or choose \.safetensors"
    ):
        checkpoints.save(models.build("C"), tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_teacher(tmp_path):
    path, out = _written(_network(), tmp_path / "weights.pth"), tmp_path / "teacher.keras"
    shown = CliRunner().invoke(
        kerakd, ["import", str(path), "--model", "resemotenet", "--out", str(out)]
    )
    assert shown.exit_code == 0 and "C, 1,262,711 weights, input 64x64x3" in shown.stdout
    assert "classes: happy, surprise, sad, anger, disgust, fear, neutral" in shown.stdout
    _assert_equal(_run(keras_file.load(out)[0], _images()), _logits(_network(), _images()))
    named = [
        "import",
        str(path),
        "--out",
        str(out),
        "--classes",
        "a, b,c,d,e,f,g",
        "--input",
        "48x48x1",
    ]
    assert "input 48x48x1" in CliRunner().invoke(kerakd, named).stdout
    spec = keras_file.load(out)[1]
    assert spec.class_names == tuple("abcdefg") and spec.input_shape == (48, 48, 1)
    assert (
        "must end in .keras"
        in CliRunner().invoke(kerakd, ["import", str(path), "--out", "x.h5"]).output
    )
