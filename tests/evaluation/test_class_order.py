"""Whether an assumed order of classes is checked against labels."""

import numpy as np
import pytest

from keras_kd.errors import ModelError
from keras_kd.evaluation.class_order import require_plausible

NAMES = ("happy", "sad", "angry")


def _logits(labels: np.ndarray, order: list[int]) -> np.ndarray:
    """Right answers of a model whose output number i means class `order[i]`."""
    return np.eye(3, dtype=np.float32)[np.argsort(order)[labels]]


@pytest.mark.parametrize("order", [[1, 2, 0], [2, 1, 0], [1, 0, 2]])
def test_a_model_in_another_order_is_refused_with_that_order(order: list[int]) -> None:
    labels = np.random.default_rng(0).integers(3, size=90)
    named = ", ".join(NAMES[label] for label in order)
    with pytest.raises(ModelError, match=f"order {named} on 100.0 %.*labels.txt"):
        require_plausible(_logits(labels, order), labels, NAMES)


def test_the_right_order_a_guesser_and_a_few_images_pass() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(3, size=90)
    require_plausible(_logits(labels, [0, 1, 2]), labels, NAMES)
    require_plausible(random.normal(size=(90, 3)), labels, NAMES)
    require_plausible(np.ones((90, 3)), labels, NAMES)
    require_plausible(_logits(labels[:9], [1, 2, 0]), labels[:9], NAMES)
