"""Objects that hold arrays are shown in one line."""

from __future__ import annotations

import numpy as np

from keras_kd import Samples
from keras_kd.runtimes.predictors import Prediction
from keras_kd.teachers.views import Views
from keras_kd.training.batches import TrainingBatches

IMAGES, LABELS = np.zeros((1200, 4, 4, 1), np.uint8), np.arange(1200) % 2


def test_what_holds_arrays_is_shown_in_one_line():
    values = {"arousal": np.zeros(1200, np.float32)}
    assert repr(Samples(IMAGES, LABELS, ("cat", "dog"), values)) == (
        "<Samples: 1,200 images 4x4x1, 2 classes (cat, dog), values arousal>"
    )
    assert repr(Prediction(np.zeros((5, 2), np.float32), values)) == (
        "<Prediction: 5 images, 2 logits each, values arousal>"
    )
    batches = TrainingBatches(IMAGES, LABELS, Views("mirror", 1200, 1, 0), 16, 0)
    assert repr(batches) == "<TrainingBatches: 1,200 images 4x4x1, 2 views of each, 16 a step>"
