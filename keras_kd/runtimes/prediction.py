"""What a model says of images, and what every model of images is to the other rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from keras_kd.models.form import ModelSpec


@dataclass(frozen=True)
class Prediction:
    """What a model says of N images.

    Attributes:
        logits: float32 (N, classes); (N, 0) where the model tells no classes.
        values: continuous outputs by name, sorted, each float32 (N,), e.g. arousal and valence.
    """

    logits: np.ndarray
    values: dict[str, np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line: of how many images, and what."""
        values = f", values {', '.join(self.values)}" if self.values else ""
        count, classes = self.logits.shape
        return f"<Prediction: {count:,} images, {classes} logits each{values}>"

    def columns(self) -> np.ndarray:
        """float32 (N, classes + values): all side by side."""
        return np.concatenate(
            [self.logits, *(column[:, None] for column in self.values.values())], axis=1
        )


class Predictor(Protocol):
    """A model of images: one set of classes, or continuous values, or both.

    Attributes:
        form: what the model takes and gives.
        values: names of its continuous outputs, sorted.
        tells_classes: whether it has classes.
    """

    form: ModelSpec
    values: tuple[str, ...]
    tells_classes: bool

    @property
    def fingerprint(self) -> str:
        """Of its weights and form."""
        ...

    @property
    def multiply_accumulates(self) -> int | None:
        """Of the published shape for one image, counted when asked; None where that isn't known."""
        ...

    def predict(self, images: np.ndarray) -> Prediction:
        """uint8 (N, H, W, C), of any size and colour -> what the model says of them."""
        ...

    def logits(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, C) -> float32 (N, classes), of `predict`."""
        ...
