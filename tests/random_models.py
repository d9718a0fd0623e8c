"""Models of random weights, and whether two of them answer alike."""

from __future__ import annotations

import numpy as np


def random_images(shape, count=4, seed=1):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def randomised(model, seed=0):
    """No weight is 0 and no batch norm does nothing, or a wrong cut might not show."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        sign = (
            1 if weight.path.endswith("moving_variance") else random.choice([-1, 1], weight.shape)
        )
        weight.assign(random.uniform(0.1, 0.5, weight.shape) * sign)
    return model


def logits(model, images):
    return np.asarray(model(images, training=False))


def assert_equal(found, expected):
    # oneDNN may choose another algorithm, which adds in another order, for the smaller kernel.
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
