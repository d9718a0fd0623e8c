"""Files of the user's own layers and subclassed models, whose module is trusted by name."""

from __future__ import annotations

import importlib.util

import keras
import numpy as np
import pytest
from command_line import called
from PIL import Image

from keras_kd._common import trust
from keras_kd.errors import ModelError
from keras_kd.runtimes import litert, predictors

MODULE = """
import keras
from keras import layers


class Halved(layers.Layer):
    def call(self, values):
        return values * 0.5


class Own(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.pool, self.halved = layers.GlobalAveragePooling2D(), Halved()
        self.classes = layers.Dense(3)

    def call(self, images):
        return self.classes(self.halved(self.pool(images / 255.0)))
"""
# The brightest channel tells the class.
WEIGHTS = [np.eye(3, dtype=np.float32) * 8, np.array([-3, -3, -3], np.float32)]


def _model(module, kind):
    if kind == "subclassed":
        model = module.Own()
        model(np.zeros((1, 8, 8, 3), np.float32))
    else:
        scaled = [keras.layers.Rescaling(1 / 255), keras.layers.GlobalAveragePooling2D()]
        model = keras.Sequential(
            [keras.Input((8, 8, 3)), *scaled, module.Halved(), keras.layers.Dense(3)]
        )
    model.set_weights(WEIGHTS)
    return model


def _colours(folder):
    """Write red, green and blue images, four a class and split; return those of the test split."""
    random, shown = np.random.default_rng(0), []
    for split in ("train", "validation", "test"):
        for number, name in enumerate("abc"):
            (folder / split / name).mkdir(parents=True)
            for i in range(4):
                image = random.integers(0, 120, (8, 8, 3)) + 130 * np.eye(3, dtype=int)[number]
                Image.fromarray(image.astype(np.uint8)).save(folder / split / name / f"{i}.png")
                shown += [image] if split == "test" else []
    return np.array(shown, np.uint8)


@pytest.mark.parametrize("kind", ["layer", "subclassed"])
def test_own_code_is_evaluated_taught_from_and_exported_where_it_is_trusted(
    kind, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv(trust.VARIABLE, "")
    code, file, out = (tmp_path / name for name in ("own.py", "own.keras", "own.tflite"))
    code.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("own", code)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    model = _model(module, kind)
    model.save(file)
    images = _colours(data := tmp_path / "data")
    expected = model.predict(images.astype(np.float32), verbose=0)
    with pytest.raises(ModelError, match="--trust-module"):
        predictors.load(file)
    trusted = ["--data", str(data), "--trust-module", str(code)]
    assert called("evaluate", str(file), *trusted, "--json") == 0, capsys.readouterr().err
    assert '"accuracy": 1.0' in capsys.readouterr().out
    assert called("export", str(file), "--format", "float32", "--out", str(out), *trusted) == 0
    (found,) = litert.LiteRTModel(out).predict_heads(images.astype(np.float32)).values()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    stated = [*trusted, "--format", "float32", "--io", "app", "--output", "logits"]
    assert called("export", str(file), "--out", str(out), *stated) == 0, capsys.readouterr().err
    (found,) = litert.LiteRTModel(out).predict_heads(images).values()
    np.testing.assert_allclose(found, keras.ops.softmax(expected), atol=1e-4)
    # What a teacher's soft labels are made of.
    np.testing.assert_allclose(predictors.load(file).logits(images), expected, atol=1e-5)
