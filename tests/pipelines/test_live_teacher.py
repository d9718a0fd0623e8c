"""A teacher that runs on each batch, as a user runs it: it is stopped, goes on, and sees
mixtures.
"""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_network import NETWORK, network

import keras_kd
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.errors import ConfigError, DataError, ModelError
from keras_kd.models import keras_file
from keras_kd.models.keras_file import ModelSpec
from keras_kd.pipelines import distill, plan


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 4), ("test", 4)):
        for name in ("dark", "bright"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 120, (32, 32)) + 120 * (name == "bright")
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(tmp_path / "data" / split / name / f"{number}.png")
    spec = ModelSpec(("bright", "dark"), input_shape=(32, 32, 1))
    keras.utils.set_random_seed(1)
    keras_file.save(network(2, (32, 32, 1)), tmp_path / "t.keras", spec)
    return {
        "data": str(tmp_path / "data"), "teacher": str(tmp_path / "t.keras"), "student": NETWORK,
        "image_size": 32, "batch_size": 8, "precision": "float32", "formats": "float32",
        "epochs": 2, "live_teacher": True,
    }  # fmt: skip


class Stop(Exception):
    pass


class Stopping(distill.Terminal):
    """Ends a run after its first epoch."""

    def say(self, text: str) -> None:
        if "epoch 1/2" in text:
            raise Stop


def test_a_live_teacher_of_mixed_images_stores_nothing_and_goes_on_to_the_same_end(
    options, tmp_path
):
    config = Config(augment="crops,jitter,mixup,cutmix", **options)

    whole = distill.distill(config, tmp_path / "whole")
    assert not (tmp_path / "cache" / "soft_labels").exists()
    assert whole["teacher"]["name"].endswith("t") and whole["fingerprints"]["teacher"]
    with pytest.raises(Stop):
        distill.distill(config, tmp_path / "run", Stopping(quiet=True))
    resumed = distill.distill(config, tmp_path / "run", resume=True)
    assert resumed["fingerprints"] == whole["fingerprints"]


def test_without_augmentation_it_teaches_as_stored_answers_do(options, tmp_path):
    live = distill.distill(Config(augment="none", **options), tmp_path / "live")
    stored = distill.distill(
        Config(augment="none", **{**options, "live_teacher": False}), tmp_path / "stored"
    )
    # Stored logits are rounded to float16.
    assert live["test"]["nll"] == pytest.approx(stored["test"]["nll"], rel=1e-2)


@pytest.mark.parametrize(
    ("kernel", "bias", "told"),
    [(0, (1, 2), "gives the same output"), (1, (99, 0), "answers bright")],
)
def test_a_live_teacher_that_answers_the_same_is_told(
    kernel, bias, told, options, tmp_path, capsys
):
    _with_last_layer(options["teacher"], kernel, bias)
    distill.distill(Config(augment="none", **options), tmp_path / "run", Terminal())
    assert f"Note: the teacher {told} for all images: check" in capsys.readouterr().err


def test_a_live_teacher_of_no_numbers_is_refused(options, tmp_path):
    _with_last_layer(options["teacher"], np.nan, (0, 0))
    with pytest.raises(DataError, match="not finite or beyond 65504: check its weights"):
        distill.distill(Config(augment="none", **options), tmp_path / "run")


def _with_last_layer(file, scale, bias):
    """Rewrite a teacher: its last kernel times `scale`, and this bias."""
    model, spec = keras_file.load(file)
    kernel, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * scale, np.array(bias, np.float32)])
    keras_file.save(model, file, spec)


def test_layers_are_matched_beside_stored_answers_and_go_on_to_the_same_end(options, tmp_path):
    # A hint has a trained projection, which is part of the state.
    match = "conv16:conv16:hint(weight=2);conv8:conv8:attention(weight=20)"
    options |= {"augment": "none", "live_teacher": False, "match": match, "weight_decay": 0.0}

    def run(name: str, **more) -> dict:
        return distill.distill(Config(**options), tmp_path / name, **more)

    def history(name: str) -> pd.DataFrame:
        return pd.read_csv(tmp_path / name / "history.csv")

    whole = run("whole")
    with pytest.raises(Stop):
        run("run", terminal=Stopping(quiet=True))
    resumed = run("run", resume=True)
    assert resumed["fingerprints"] == whole["fingerprints"]
    rows = history("whole")
    np.testing.assert_allclose(history("run")["feature_loss"], rows["feature_loss"], rtol=1e-6)
    # What is matched is part of what is trained.
    parts = 0.15 * rows["hard_loss"] + 0.85 * rows["soft_loss"] + rows["feature_loss"]
    assert (rows["feature_loss"] > 0.01).all()
    np.testing.assert_allclose(rows["loss"], parts, rtol=1e-5)


@pytest.mark.parametrize(
    "match", ["conv8:conv8", "conv8:conv8:hints", "conv8:conv8:hint(wait=1)", ":conv8:hint"]
)
def test_another_form_of_match_is_refused(match):
    with pytest.raises(ConfigError, match="STUDENT_LAYER:TEACHER_LAYER:KIND.*attention"):
        Config(match=match)


def test_layers_are_matched_with_one_keras_model(options, tmp_path):
    options |= {"match": "conv8:conv8:hint", "live_teacher": False}
    teacher = options["teacher"]
    for other in ({"teacher": f"{teacher};{teacher}"}, {"alpha": 1.0}):
        with pytest.raises(ConfigError, match="one Keras model: give one teacher"):
            plan.resolve(Config(**options | other))
    with pytest.raises(ConfigError, match="takes others: put a Rescaling"):
        distill.distill(Config(teacher_range="-1,1", **options), tmp_path / "run")
    (tmp_path / "told").mkdir()
    keras_file.load(teacher)[0].save(tmp_path / "told" / "t.keras")
    (tmp_path / "told" / "labels.txt").write_text("bright\ndark\n")
    scaled = '{"do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": false}'
    (tmp_path / "told" / "preprocessor_config.json").write_text(scaled)
    told = options | {"teacher": str(tmp_path / "told" / "t.keras")}
    with pytest.raises(ConfigError, match="takes others: put a Rescaling"):
        distill.distill(Config(**told), tmp_path / "told-run")
    keras_kd.export(keras_file.load(teacher)[0], tmp_path / "t.tflite", "float32")
    options["teacher"] = str(tmp_path / "t.tflite")
    with pytest.raises(ConfigError, match="compares layers of Keras models"):
        distill.distill(Config(teacher_classes="bright,dark", **options), tmp_path / "other")
    options |= {"teacher": teacher, "match": "conv8:conv9:hint"}
    with pytest.raises(ModelError, match="no layer 'conv9' to match.*conv8"):
        distill.distill(Config(**options), tmp_path / "missing")


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ({"match": "convv8:conv8:hint"}, "no layer 'convv8' to match; it has.*conv8"),
        ({"optimizer": "dot", "precision": "mixed_float16"}, "dot.*float32 or bfloat16"),
        ({"heads": "valence"}, "heads must be among"),
    ],
)
def test_a_student_that_does_not_fit_is_refused_before_the_teacher_labels_images(
    options, mistake, words, tmp_path
):
    options |= {"live_teacher": False} | mistake
    with pytest.raises((ConfigError, ModelError), match=words):
        distill.distill(Config(**options), tmp_path / "run")
    assert not list((tmp_path / "cache").rglob("*/soft_labels/*"))
    assert not list(tmp_path.rglob("*.npy"))
