"""A teacher that runs on each batch, as a user runs it: it is stopped, goes on, and sees
mixtures.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from PIL import Image
from small_network import NETWORK, network

from keras_kd.config import Config
from keras_kd.models import keras_file
from keras_kd.models.keras_file import ModelSpec
from keras_kd.pipelines import distill


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
    form = ModelSpec(("bright", "dark"), input_shape=(32, 32, 1))
    keras.utils.set_random_seed(1)
    keras_file.save(network(2, (32, 32, 1)), tmp_path / "t.keras", form)
    return {
        "data": str(tmp_path / "data"), "teacher": str(tmp_path / "t.keras"), "student": NETWORK,
        "image_size": 32, "batch_size": 8, "precision": "float32", "formats": "float32",
        "epochs": 2, "live_teacher": True,
    }  # fmt: skip


def test_a_live_teacher_of_mixed_images_stores_nothing_and_goes_on_to_the_same_end(
    options, tmp_path
):
    config = Config(augment="crops,jitter,mixup,cutmix", **options)

    class Stop(Exception):
        pass

    class Terminal(distill.Terminal):
        def say(self, text: str) -> None:
            if "epoch 1/2" in text:
                raise Stop

    whole = distill.distill(config, tmp_path / "whole")
    assert not (tmp_path / "cache" / "soft_labels").exists()
    assert whole["teacher"]["name"].endswith("t") and whole["fingerprints"]["teacher"]
    with pytest.raises(Stop):
        distill.distill(config, tmp_path / "run", Terminal(quiet=True))
    resumed = distill.distill(config, tmp_path / "run", resume=True)
    assert resumed["fingerprints"] == whole["fingerprints"]


def test_without_augmentation_it_teaches_as_stored_answers_do(options, tmp_path):
    live = distill.distill(Config(augment="none", **options), tmp_path / "live")
    stored = distill.distill(
        Config(augment="none", **{**options, "live_teacher": False}), tmp_path / "stored"
    )
    # Stored logits are rounded to float16.
    assert live["test"]["nll"] == pytest.approx(stored["test"]["nll"], rel=1e-2)
