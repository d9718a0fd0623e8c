"""A training whose loss became NaN goes on at a lower learning rate, as its message says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import striped_images
from command_line import called

OWN = """
import keras
from keras import layers

def net(num_classes, input_shape):
    image = keras.Input(input_shape)
    x = layers.Conv2D(4, 3, strides=4, activation="relu")(layers.Rescaling(1 / 255)(image))
    return keras.Model(image, layers.Dense(num_classes)(layers.Flatten()(x)))
"""


def test_resume_takes_a_lower_rate_after_nan_and_notes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "own.py").write_text(OWN)
    out = tmp_path / "run"
    options = f"--data {striped_images.draw(tmp_path / 'data')} --beta 0 --epochs 3 --batch-size 8"
    fixed = "--image-size 32 --augment none --precision float32 --formats float32 --clip-norm 0"
    student = f"--student {tmp_path / 'own.py'}:net --out {out}"
    first = f"distill {options} {fixed} {student} --learning-rate 1e30"
    assert called(*first.split()) == 2
    told = capsys.readouterr().err
    assert "became nan" in told or "became inf" in told
    assert "distill --resume` takes a lower one" in told and "--clip-norm" in told
    resume = ["distill", "--resume", "--out", str(out)]
    assert called(*resume, "--learning-rate", "1e31") == 2
    assert "a higher learning_rate" in capsys.readouterr().err
    assert called(*resume, "--learning-rate", "0.01", "--epochs", "4") == 2
    assert "in epochs" in capsys.readouterr().err
    assert called(*resume) == 2  # the same rate ends as before
    assert "became" in capsys.readouterr().err
    assert called(*resume, "--learning-rate", "0.01", "--clip-norm", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["n"] > 0 and (out / "student_float32.tflite").is_file()
    settings = tomllib.loads((out / "config.toml").read_text("utf-8"))
    assert (settings["learning_rate"], settings["clip_norm"]) == (0.01, 1.0)
    history = pd.read_csv(out / "history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    assert np.isfinite(history["loss"]).all() and history["learning_rate"].max() <= 0.01


@pytest.mark.parametrize("command", ["teach", "distill", "sweep"])
def test_the_teacher_is_named_and_no_resuming_advised(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A resumed run would train the teacher at the same rate again; `teach` has no --resume; and a
    sweep trained it without end.
    """
    if command == "sweep":
        pytest.importorskip("optuna", reason="needs the extra sweep")
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "own.py").write_text(OWN)
    options = f"--data {striped_images.draw(tmp_path / 'data')} --batch-size 8 --image-size 32"
    fixed = "--augment none --precision float32 --clip-norm 0 --learning-rate 1e30"
    teacher = f"--teacher {tmp_path / 'own.py'}:net --teacher-epochs 1 --out {tmp_path / 'run'}"
    assert called(command, *options.split(), *fixed.split(), *teacher.split()) == 2
    told = capsys.readouterr().err
    assert "training of the teacher own.net" in told and "--learning-rate" in told
    assert "--resume" not in told and not (tmp_path / "run").exists()
