"""Models for pixels of 0..1: the range is asked for, and goes into the file."""

from __future__ import annotations

import json
import warnings

import gratings
import keras
import numpy as np
import pytest
from command_line import called
from keras import layers
from PIL import Image
from sklearn.datasets import load_digits

from keras_kd import exporters
from keras_kd.datasets import Samples
from keras_kd.errors import ExportError
from keras_kd.runtimes import predictors
from keras_kd.runtimes.litert import LiteRTModel


@pytest.fixture(scope="module")
def small_pixels():
    """A network for pixels of 0..1, which no layer of it says, and which is as right on others."""
    return gratings.trained("relu", scale=None, of=1 / 255)


@pytest.fixture(scope="module")
def digits():
    """A network for digits in 0..1, and the digits."""
    data = load_digits()
    images = (data.images / 16 * 255).astype(np.uint8)[..., None]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(32, 3, activation="relu"),
                              layers.Flatten(), layers.Dense(10)])  # fmt: skip
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images[:1300] / 255.0, data.target[:1300], epochs=15, verbose=0)
    return model, Samples(images, data.target, tuple("0123456789"))


def test_a_model_for_pixels_of_0_to_1_must_say_so(digits, tmp_path):
    model, samples = digits
    with pytest.raises(ExportError, match=r"seems to take pixels of 0\.\.1.*--range 0,1"):
        exporters.export(model, tmp_path / "m.tflite", "int8", samples[:1300])
    assert not list(tmp_path.iterdir())
    exporters.export(model, tmp_path / "m.tflite", "int8", samples[:1300], value_range=(0, 1))
    found = LiteRTModel(tmp_path / "m.tflite").predict(samples.images[1300:] / np.float32(255))
    assert np.mean(found.argmax(1) == samples.labels[1300:]) > 0.9


def test_a_range_that_the_labels_speak_against_is_used_and_doubted(digits, tmp_path):
    model, samples = digits
    of_pixels = keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), model])
    words = r"stated to take pixels of 0\.\.1, but seems to take 0\.\.255: .*--range 0,255"
    with pytest.warns(UserWarning, match=words):
        exporters.export(
            of_pixels, tmp_path / "m.tflite", "float32", samples[:1300], value_range=(0, 1)
        )


def test_what_is_assumed_is_told_where_answers_can_not_decide(small_pixels, tmp_path):
    with pytest.warns(UserWarning, match=r"Pixels of 0\.\.255 are assumed"):
        exporters.export(small_pixels, tmp_path / "m.tflite", "float32", gratings.samples())


@pytest.mark.parametrize("of", [np.uint8, np.float32])
def test_int8_is_calibrated_on_what_the_model_takes(small_pixels, of, tmp_path):
    images, labels = gratings.stripes(100, 9)
    samples = (
        gratings.samples().images if of is np.uint8 else gratings.samples().images / np.float32(255)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        exporters.export(small_pixels, tmp_path / "m.tflite", "int8", samples, value_range=(0, 1))
    expected = small_pixels.predict(images / 255.0, verbose=0).argmax(1)
    found = LiteRTModel(tmp_path / "m.tflite").predict(images / np.float32(255)).argmax(1)
    assert np.mean(found == expected) >= 0.95


def test_the_range_goes_into_a_file_for_apps(small_pixels, tmp_path):
    exporters.export(small_pixels, tmp_path / "m.tflite", "int8", gratings.samples(), io="app",
                     app_input=(32, 32, 3), value_range=(0, 1))  # fmt: skip
    images, _ = gratings.stripes(50, 9)
    logits = small_pixels.predict(images / 255.0, verbose=0)
    found = LiteRTModel(tmp_path / "m.tflite").predict(images)
    expected = np.asarray(keras.ops.softmax(logits))
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_pixels_that_a_file_beside_states_go_into_the_export(small_pixels, tmp_path):
    small_pixels.save(tmp_path / "m.keras")
    told = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": False}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    made = tmp_path / "made" / "m.tflite"
    assert (
        called("export", str(tmp_path / "m.keras"), "--format", "float32", "--out", str(made)) == 0
    )
    images, _ = gratings.stripes(50, 9)
    expected = small_pixels.predict(images / 255.0, verbose=0)
    np.testing.assert_allclose(predictors.load(made).logits(images), expected, atol=1e-3)


def test_the_command_line_asks_for_the_range_and_reports_answers(digits, tmp_path, capsys):
    model, samples = digits
    model.save(tmp_path / "m.keras")
    for split, rows in (("train", range(300)), ("test", range(1300, 1400))):
        for row in rows:
            folder = tmp_path / "data" / split / str(samples.labels[row])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(samples.images[row, :, :, 0]).save(folder / f"{row}.png")
    command = ["export", str(tmp_path / "m.keras"), "--format", "int8",
               "--data", str(tmp_path / "data"), "--out", str(tmp_path / "m.tflite")]  # fmt: skip
    assert called(*command) == 2
    assert "--range 0,1" in capsys.readouterr().err
    assert called(*command, "--range", "0,1", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["answers"]["same"] >= 0.97 and result["worst_layer"]["layer"]
    assert result["test"]["accuracy"] >= 0.8
