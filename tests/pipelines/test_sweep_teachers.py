"""A sweep over teachers of which one can't be trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import striped_images
from small_network import NETWORK

from keras_kd.errors import ConfigError

pytest.importorskip("optuna", reason="needs the extra sweep")

OWN = """
import keras
def broken(num_classes, input_shape):
    image = keras.Input(input_shape)
    logits = keras.layers.Dense(num_classes)(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.Rescaling(float("inf"))(logits))
"""


def test_a_teacher_that_fails_ends_its_own_trials_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended the whole sweep, also where other teachers were to be tried."""
    from keras_kd.pipelines import cached_teachers, sweep

    asked, trained = [], cached_teachers.trained
    monkeypatch.setattr(
        cached_teachers,
        "trained",
        lambda plan, data, name, terminal: (
            asked.append(name) or trained(plan, data, name, terminal)
        ),
    )
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    own = tmp_path / "own.py"
    own.write_text(OWN)
    options = {
        "data": str(striped_images.draw(tmp_path / "data")),
        "student": NETWORK,
        "epochs": 1,
        "teacher_epochs": 1,
        "batch_size": 8,
        "image_size": 16,
        "precision": "float32",
        "augment": "none",
    }
    dimensions = sweep.space([f"teacher={own}:broken,{NETWORK}", "alpha=0.1,0.2"])
    frame = sweep.sweep(options, dimensions, tmp_path / "out", pruning=False)
    assert [*frame["state"]] == ["fail", "fail", "complete", "complete"]
    assert frame["error"].str.contains("training of the teacher own.broken").tolist()[:2] == [
        True,
        True,
    ]
    assert asked == [f"{own}:broken", NETWORK]  # What failed once is not tried again.
    assert 'teacher = "small_network.network-' in (tmp_path / "out" / "best.toml").read_text()
    # Without another teacher, all trials would fail.
    alone = sweep.space(["alpha=0.1,0.2"])
    with pytest.raises(ConfigError, match="training of the teacher own.broken"):
        sweep.sweep(options | {"teacher": f"{own}:broken"}, alone, tmp_path / "alone")
