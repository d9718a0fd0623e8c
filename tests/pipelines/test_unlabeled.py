"""A student that learns from pictures without labels, as a user runs it."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from command_line import called
from PIL import Image
from small_network import NETWORK, network

from keras_kd.config import Config
from keras_kd.errors import ConfigError
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.pipelines import data_loading, distill, plan, teacher_setup


def _stripes(folder, random, axis, count):
    folder.mkdir(parents=True)
    for number in range(count):
        wave = 100 * np.sin(np.arange(32) * random.uniform(0.5, 1)) + 120
        pixels = np.broadcast_to(wave if axis else wave[:, None], (32, 32))
        noisy = pixels + random.normal(0, 10, (32, 32))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stripes")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 4), ("test", 4)):
        for name, axis in (("upright", 1), ("level", 0)):
            _stripes(folder / "data" / split / name, random, axis, count)
    _stripes(folder / "more", random, 1, 10)
    (folder / "more" / "copy.png").write_bytes(
        (folder / "data" / "test" / "level" / "0.png").read_bytes()
    )
    keras.utils.set_random_seed(1)
    model = network(2, (32, 32, 1))
    spec = ModelSpec(("level", "upright"), input_shape=(32, 32, 1))
    keras_file.save(model, folder / "teacher.keras", spec)
    return folder


def _options(folder, **more):
    fixed = {"image_size": 32, "batch_size": 8, "precision": "float32", "views": 2}
    return Config(
        data=str(folder / "data"), teacher=str(folder / "teacher.keras"), student=NETWORK,
        unlabeled=str(folder / "more"), **fixed, **more
    )  # fmt: skip


def test_the_teachers_answers_are_the_labels(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    resolved = plan.resolve(_options(folder, augment="mirror"))
    data = data_loading.load_data(resolved.data, distill.Terminal(quiet=True))
    supervision = teacher_setup.prepare(resolved, data, distill.Terminal(quiet=True))
    assert supervision.unlabeled == 10  # The copy of a test picture is left out.
    train = supervision.learnt.train
    model = keras_file.load(folder / "teacher.keras")[0]
    logits = [np.asarray(model(x)) for x in (train.images[-10:], train.images[-10:, :, ::-1])]
    shares = [np.exp(one) / np.exp(one).sum(axis=1, keepdims=True) for one in logits]
    np.testing.assert_allclose(train.labels[-10:], np.mean(shares, axis=0), atol=2e-3)
    np.testing.assert_array_equal(train.labels[:24], np.eye(2)[data.train.labels])


def test_a_run_tells_what_it_left_out_and_scores_the_same_pictures(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    arguments = (
        f"distill --data {folder / 'data'} --teacher {folder / 'teacher.keras'} --student {NETWORK}"
    )
    more = f"--unlabeled {folder / 'more'} --unlabeled-share 0.25 --epochs 1 --formats float32"
    fixed = (
        f"--image-size 32 --batch-size 8 --augment none --baseline --json --out {tmp_path / 'run'}"
    )
    assert called(*arguments.split(), *more.split(), *fixed.split()) == 0
    shown = capsys.readouterr()
    assert "10 pictures" in shown.err and "1 equal" in shown.err
    found = json.loads(shown.out)
    assert found["baseline_test"]["n"] == 8
    assert found["test"]["n"] == 8 and found["data"]["counts"]["train"] == {
        "level": 12, "upright": 12
    }  # fmt: skip


def test_someone_must_label_them(folder, tmp_path):
    with pytest.raises(ConfigError, match="unlabeled pictures need a model that teaches"):
        distill.distill(_options(folder, beta=0.0), tmp_path / "run")
    with pytest.raises(ConfigError, match="unlabeled_share must be above 0 and below 1"):
        Config(unlabeled_share=1.0)
