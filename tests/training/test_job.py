"""One training, as the user sees it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from small_network import NETWORK

from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets import Samples, splits
from keras_kd.datasets.splits import Data
from keras_kd.pipelines import plan
from keras_kd.training import job
from keras_kd.training.settings import Job


def test_a_batch_larger_than_the_data_counts_the_images_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step on six images was told as of two thousand million."""
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 1), dtype=np.uint8)
    samples = Samples(images, np.array([0, 1] * 3), ("a", "b"))
    data = Data("drawn", samples, samples, samples)
    options = {"batch_size": 2**31 - 1, "augment": "none", "precision": "float32", "beta": 0.0}
    settings = plan.resolve(Config(data="none", student=NETWORK, **options)).training
    heads = splits.chosen(None, data, ())
    task = Job("student", NETWORK, 1, heads, job.views(settings, data, 1), tmp_path)
    _, (row,) = job.train(task, settings, data, Terminal())
    told = capsys.readouterr().err
    (rate,) = re.findall(r"([\d,]+) images/s", told)
    assert int(rate.replace(",", "")) == pytest.approx(6 / row["seconds"], abs=1)
