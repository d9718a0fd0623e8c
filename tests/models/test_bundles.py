"""A bundle's folder stands for the model file in it, wherever a model is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import called
from striped_images import draw

from keras_kd.errors import ModelError
from keras_kd.evaluation import benchmark, operator_times
from keras_kd.models import bundles, keras_file, sources
from keras_kd.runtimes import predictors, stored_spec

BUNDLE = Path(__file__).parents[2] / "exports" / "C"
FILE = BUNDLE / "model.tflite"


def test_the_folder_answers_as_its_file() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 1), np.uint8)
    expected = predictors.load(FILE).predict(images).logits
    np.testing.assert_array_equal(predictors.load(BUNDLE).predict(images).logits, expected)
    assert stored_spec.has_spec(BUNDLE) == stored_spec.has_spec(FILE)


def test_the_folder_is_measured_as_its_file() -> None:
    (measured,) = benchmark.measure([BUNDLE], (1,), seconds=0.1)
    assert (measured.name, measured.bytes) == ("C", FILE.stat().st_size)
    assert operator_times.measure(BUNDLE, seconds=0.1).operators


def test_commands_take_the_folder_and_name_it_in_statements(tmp_path, capsys) -> None:
    data = draw(tmp_path / "data")
    # Of two models a statement may be of one; the labels of both are those of faces.
    given = [str(BUNDLE), str(FILE), "--range", f"{BUNDLE}=0,255"]
    assert called("evaluate", *given, "--data", str(data)) == 2
    error = capsys.readouterr().err
    assert "no SavedModel" not in error and "none of the models" not in error
    assert "classes" in error


@pytest.mark.parametrize(
    "load", [keras_file.load, lambda path: sources.require_known("student", str(path))]
)
def test_no_keras_model_is_made_of_the_folder(load) -> None:
    with pytest.raises(ModelError, match=f"{FILE} is a .tflite file, from which no Keras model"):
        load(BUNDLE)


def test_a_saved_model_with_a_converted_file_inside_stays_one(tmp_path) -> None:
    shutil.copy(FILE, tmp_path)
    assert bundles.model_file(tmp_path) == tmp_path / "model.tflite"
    (tmp_path / "saved_model.pb").touch()
    assert bundles.model_file(tmp_path) == tmp_path
    assert bundles.model_file("none/at/all") == Path("none/at/all")
