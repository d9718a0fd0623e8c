"""`kerakd export --calibrate`: honest probabilities, and what has none."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from command_line import called
from dark_and_bright import CLASSES, draw_images, exported
from keras import layers
from PIL import Image

from keras_kd import datasets
from keras_kd.errors import ModelError
from keras_kd.models import keras_file
from keras_kd.models.surgery.divided_logits import with_divided_logits
from keras_kd.runtimes import predictors


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw_images(tmp_path_factory.mktemp("data"))


def test_calibrated_files_give_the_same_answers_with_honest_probabilities(
    student, tmp_path, capsys
):
    data = tmp_path / "data"
    random = np.random.default_rng(3)
    for name, level in (("bright", 135), ("dark", 115)):
        (data / name).mkdir(parents=True)
        for number in range(150):
            pixels = np.clip(
                level + random.normal(0, 20) + random.integers(-60, 61, (64, 64)), 0, 255
            )
            Image.fromarray(pixels.astype(np.uint8)).save(data / name / f"{number:03}.png")
    out = tmp_path / "bundle"
    result = exported(
        capsys,
        student,
        "--format",
        "float32",
        "--data",
        data,
        "--calibrate",
        "--bundle",
        "--app-input",
        "64x64x1",
        "--out",
        out,
    )

    model, _ = keras_file.load(student)
    validation = datasets.load(data, "validation")
    logits = np.asarray(model(validation.images))[:, ::-1]  # in the data's order
    tried = np.geomspace(0.05, 20, 2000)
    scaled = logits / tried[:, None, None]
    right = scaled[:, np.arange(len(validation)), validation.labels]
    best = tried[np.mean(np.logaddexp(scaled[..., 0], scaled[..., 1]) - right, axis=1).argmin()]
    assert 1.5 < best < 10 and result["temperature"] == pytest.approx(best, rel=0.01)

    found = np.asarray(predictors.load(out / "model.tflite").logits(validation.images))[:, ::-1]
    np.testing.assert_allclose(
        found[:, 0] - found[:, 1], (logits[:, 0] - logits[:, 1]) / best, rtol=0.02, atol=1e-3
    )
    card = (out / "README.md").read_text()
    assert (
        f"divided by {result['temperature']:.3f}" in card
        and f"fits {len(validation)} validation images" in card
    )
    assert "## Intended use and limits" in card and "kerakd distill" not in card
    told = "- Data: data; its validation images set the temperature, its test images give"
    assert told in card and "Not calibrated" not in card


def test_calibration_divides_the_classes_alone_and_needs_their_dense_layer(student):
    image = keras.Input((4,))
    named = {
        "kind": layers.Dense(3, name="kind")(image),
        "size": layers.Dense(1, name="size")(image),
    }
    model = keras.Model(image, named)
    before, after = (one(np.ones((2, 4))) for one in (model, with_divided_logits(model, 2.0)))
    np.testing.assert_allclose(after["kind"], np.asarray(before["kind"]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(after["size"], before["size"])
    pair = keras.Model(image, layers.Average()([layers.Dense(3)(image), layers.Dense(3)(image)]))
    found = with_divided_logits(pair, 4.0)(np.ones((2, 4)))
    np.testing.assert_allclose(found, np.asarray(pair(np.ones((2, 4)))) / 4, rtol=1e-6)
    mirrored = keras.Model(
        image, layers.Average()([named["kind"], model.get_layer("kind")(-image)])
    )
    found = with_divided_logits(mirrored, 4.0)(np.eye(4))
    np.testing.assert_allclose(found, np.asarray(mirrored(np.eye(4))) / 4, atol=1e-6)
    read = keras.Model(
        image, [named["kind"], layers.Dense(1, name="size of kind")(named["kind"])], name="read"
    )
    with pytest.raises(
        ModelError, match=r"read has another layer that reads the logits of kind .size of kind."
    ):
        with_divided_logits(read, 2.0)
    # Read by a layer of another model only.
    with_divided_logits(keras.Model(image, named["kind"]), 2.0)
    for last in (layers.Dense(3, "softmax", name="last"), layers.Dense(1, name="last")):
        model = keras.Model(image, last(image), name="sure")
        with pytest.raises(
            ModelError, match="sure ends in last .Dense., not in a dense layer of classes' logits"
        ):
            with_divided_logits(model, 2.0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--format", "int8"], "--calibrate needs --data"),
        (["--format", "qat", "--data", "faces"], "--calibrate doesn't go with --format qat"),
    ],
)
def test_calibration_without_data_or_before_training_is_refused(student, more, message, capsys):
    assert called("export", str(student), "--calibrate", *more) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "units", "message"),
    [
        (CLASSES, 2, "No temperature from"),
        (None, 5, "5 outputs for 2 classes"),
        (None, 1, "has no classes to calibrate"),
    ],
)
def test_what_has_no_temperature_is_refused(student, data, tmp_path, names, units, message, capsys):
    model, path = keras_file.load(student)[0], tmp_path / "model.keras"
    if units != 2:
        model = keras.Model(model.input, layers.Dense(units, name="other")(model.layers[-2].output))
    keras_file.save(model, path, keras_file.ModelSpec(names, input_shape=(64, 64, 1)))
    assert (
        called("export", str(path), "--format", "float32", "--data", str(data), "--calibrate") == 2
    )
    shown = capsys.readouterr().err
    assert message in shown and "Traceback" not in shown and [path] == list(tmp_path.iterdir())
