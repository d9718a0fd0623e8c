"""`kerakd export` of models whose classes are others than the data's, or that nobody names."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import called
from dark_and_bright import CLASSES, draw_images, exported
from keras import layers
from PIL import Image

from keras_kd._common.progress import Terminal
from keras_kd.models import keras_file
from keras_kd.pipelines import conversion
from keras_kd.pipelines.export_settings import ExportSettings, resolved


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw_images(tmp_path_factory.mktemp("data"))


def _dark_and_bright(folder: Path, images: int) -> str:
    """A data set of noise of two levels, so many images a split and class."""
    random = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        for kind, level in (("bright", 160), ("dark", 90)):
            (folder / split / kind).mkdir(parents=True)
            for number in range(images):
                pixels = level + random.integers(-60, 61, (64, 64))
                path = folder / split / kind / f"{number}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return str(folder)


def _without_names(student: Path, path: Path) -> Path:
    keras_file.load(student)[0].save(path)
    return path


def test_other_classes_are_told_as_the_models_and_the_datas(student, tmp_path, capsys):
    data = Path(_dark_and_bright(tmp_path / "data", 2))
    for folder in data.glob("*/bright"):
        folder.rename(folder.with_name("dim"))
    assert called("export", str(student), "--data", str(data)) == 2
    told = capsys.readouterr().err
    assert "the model lacks dim and has bright besides; use a model trained on dark, dim" in told


@pytest.mark.parametrize(("more", "name"), [("--bundle", "made"), ("--calibrate", "made.tflite")])
def test_classes_that_nobody_names_are_checked_against_the_data(
    student, tmp_path, more, name, capsys
):
    """Ten images of each class for training are enough, however few are scored."""
    path = _without_names(student, tmp_path / "model.keras")
    data, made = _dark_and_bright(tmp_path / "data", 10), tmp_path / name
    for file in [*tmp_path.glob("data/validation/*/?.png"), *tmp_path.glob("data/test/*/?.png")]:
        if file.name >= "2.png":
            file.unlink()
    asked = ["export", str(path), "--format", "float32", "--data", data, "--range", "0,255"]
    assert called(*asked, more, "--out", str(made)) == 2
    told = capsys.readouterr().err
    assert f"{path} names no classes" in told and not made.exists()
    assert "in the order dark, bright on 100.0 %" in told


def test_an_untrained_models_file_is_not_refused_for_its_answers(tmp_path, capsys):
    """As of a network whose size and time are looked at before it is trained."""
    image = keras.Input((64, 64, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 127.5, -1)(image))
    model = keras.Model(image, layers.Dense(2)(pooled))
    # As Keras might draw them: the classes stand the wrong way round.
    model.set_weights([np.tile([-0.3, 0.3], (3, 1)), np.zeros(2)])
    model.save(tmp_path / "model.keras")
    asked = ["export", str(tmp_path / "model.keras"), "--format", "float32", "--json"]
    assert called(*asked, "--data", _dark_and_bright(tmp_path / "data", 10)) == 0
    told = capsys.readouterr()
    assert "has learnt nothing, so its pixels and its order of classes can't be checked" in told.err
    assert json.loads(told.out)["test"]["accuracy"] == 0


def test_a_bundle_of_too_few_images_says_that_its_classes_are_not_checked(
    student, tmp_path, capsys
):
    path = _without_names(student, tmp_path / "model.keras")
    asked = ["--bundle", "--data", _dark_and_bright(tmp_path / "data", 2), "--range", "0,255"]
    out = str(tmp_path / "made")
    assert called("export", str(path), "--format", "float32", *asked, "--out", out) == 0
    told = capsys.readouterr().err
    assert f"{path} names no classes: the data's order is assumed, and not checked" in told
    assert "The bundle's classes are bright, dark (--classes overrides this)." in told


def test_data_that_lack_a_class_of_the_model_calibrate_and_score_it(
    student, data, tmp_path, capsys
):
    model = keras_file.load(student)[0]
    logits = layers.Concatenate()(
        [layers.Dense(1, name="other")(model.layers[-2].output), model.output]
    )
    path = tmp_path / "three.keras"
    spec = keras_file.ModelSpec(("dim", *CLASSES), input_shape=(64, 64, 1))
    more = keras.Model(model.input, logits)
    more.get_layer("other").set_weights([np.zeros((24, 1)), np.array([-99.0])])
    keras_file.save(more, path, spec)
    result = exported(capsys, path, "--format", "int8", "--data", data)
    assert result["answers"]["accuracy"] == result["test"]["accuracy"] == 1
    assert list(result["test"]["recall"]) == ["bright", "dark", "dim"]


def test_fine_tuning_without_images_of_a_class_is_told(student, data, monkeypatch, capsys):
    monkeypatch.setattr(conversion, "export_quantization_aware", lambda *args, **options: None)
    spec = keras_file.ModelSpec(("dim", *CLASSES), input_shape=(64, 64, 1))
    settings = resolved(ExportSettings(format="qat", data=str(data)))
    train = conversion.samples_in_order(settings, "train", spec, Terminal())
    conversion.Conversion(student, None, spec, settings, train, Terminal()).write(Path("any"))
    told = capsys.readouterr().err
    assert "the training images have none of dim: fine-tuning unlearns" in told
