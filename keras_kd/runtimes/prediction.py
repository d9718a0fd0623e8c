"""A model's predictions for images, and the interface of all models of images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from keras_kd.models.spec import ModelSpec


@dataclass(frozen=True)
class Prediction:
    """A model's outputs for N images.

    Attributes:
        logits: float32 (N, classes); (N, 0) if the model has no classes.
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
        """All outputs side by side, float32 (N, classes + values)."""
        return np.concatenate(
            [self.logits, *(column[:, None] for column in self.values.values())], axis=1
        )


class Predictor(Protocol):
    """A model of images that predicts one set of classes, continuous values, or both.

    Attributes:
        spec: its inputs and outputs.
        values: names of its continuous outputs, sorted.
        tells_classes: whether it has classes.
    """

    spec: ModelSpec
    values: tuple[str, ...]
    tells_classes: bool

    @property
    def fingerprint(self) -> str:
        """Return a fingerprint of its weights and specification."""
        ...

    @property
    def multiply_accumulates(self) -> int | None:
        """Return the number of the published shape for one image, counted on request; None if
        unknown.
        """
        ...

    def predict(self, images: np.ndarray) -> Prediction:
        """Predict uint8 (N, H, W, C) images of any size and colour."""
        ...

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits of `predict`, float32 (N, classes), for uint8 (N, H, W, C)."""
        ...
