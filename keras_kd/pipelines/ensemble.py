"""One or several teachers as one, each shown the data set at its own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_kd.datasets import unlabeled
from keras_kd.datasets.splits import Data
from keras_kd.datasets.unlabeled import Unlabeled
from keras_kd.pipelines.unlabeled import beside
from keras_kd.runtimes import predictors
from keras_kd.runtimes.predictors import Prediction, Predictor
from keras_kd.teachers.views import AtSizes


@dataclass(frozen=True)
class Ensemble:
    """The mean of the logits and values of one teacher or several.

    Attributes:
        model: all as one, for what it tells of itself; its own `predict` takes images of one size.
        members: the teachers; each also averages over the mirror images, where asked.
        data: for each the data set at its own size, cut from the original pixels.
    """

    model: Predictor
    members: tuple[Predictor, ...]
    data: tuple[Data, ...]

    def predict(self, split: str) -> Prediction:
        """Return the mean outputs for the images of a split.

        Args:
            split: "train", "validation" or "test".

        Returns:
            The mean logits and values.
        """
        shown = [getattr(data, split).images for data in self.data]
        return self._mean(shown)

    def columns(self, shown: AtSizes | np.ndarray) -> np.ndarray:
        """Return the mean outputs for some images.

        Args:
            shown: the same n images in the size of each teacher; or uint8 (n, H, W, C) in that of
                all.

        Returns:
            float32 (n, classes + values).
        """
        if isinstance(shown, AtSizes):
            return self._mean(shown.arrays).columns()
        return self.model.predict(shown).columns()

    def training_images(self) -> AtSizes:
        """Return the images of the training split in the size of each teacher.

        Returns:
            The images.
        """
        return AtSizes(tuple(data.train.images for data in self.data))

    def sizes(self, usual: tuple[int, ...]) -> str:
        """Return the teachers' sizes for the key of a store.

        Args:
            usual: the student's height and width in pixels.

        Returns:
            The sizes as text; "" if all are the usual one.
        """
        sizes = [data.image_shape[:2] for data in self.data]
        if all(size == usual for size in sizes):
            return ""
        named = [str(a) if a == b else f"{a}x{b}" for a, b in dict.fromkeys(sizes)]
        return f" at {', '.join(named)} pixels"

    def beside(self, pictures: Unlabeled, learnt: Data) -> Ensemble:
        """Return the same teachers with pictures after their training images.

        Args:
            pictures: the pictures, in the student's size.
            learnt: the data set with the pictures, in the student's size.

        Returns:
            The teachers.
        """

        at_size = {data.image_shape: data for data in self.data}
        for shape, data in at_size.items():
            if shape == learnt.image_shape:
                at_size[shape] = learnt
            else:
                at_size[shape] = beside(data, unlabeled.reloaded(pictures, shape))
        return replace(self, data=tuple(at_size[data.image_shape] for data in self.data))

    def _mean(self, shown: Sequence[np.ndarray]) -> Prediction:
        return predictors.mean(
            [member.predict(images) for member, images in zip(self.members, shown, strict=True)]
        )
