"""A model as sessions use it: face crops in, calibrated probabilities and values by name out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from keras_kd import datasets
from keras_kd._common.user_warnings import warn
from keras_kd.datasets.class_names import distinct
from keras_kd.datasets.images import fitted
from keras_kd.errors import ModelError, of_file
from keras_kd.evaluation import calibration, class_order
from keras_kd.exporters import bundle
from keras_kd.runtimes import pixel_check, predictors
from keras_kd.runtimes.predictors import FilePredictor, Predictor
from keras_kd.runtimes.stated import NOTHING, Stated

# Images that doubts of a model's pixels need, and the gray levels by which they differ.
_TRIED, _DIFFERENT = 10, 20


class Reader:
    """Reads expressions.

    Args:
        predictor: the model.
        temperature: that its logits are divided by.

    Attributes:
        class_names: of the probabilities, in order, equal ones with their number; empty for a model
            of values alone.
        value_names: of its continuous outputs.
        fingerprint: of the model and the temperature.
        name: of the model, for people.
        temperature_in_file: by which the file says that it is calibrated; None where it says
            nothing.
    """

    def __init__(
        self,
        predictor: Predictor,
        temperature: float = 1.0,
        name: str = "",
        temperature_in_file: float | None = None,
    ) -> None:
        self._predictor, self._temperature = predictor, temperature
        self.name, self.temperature_in_file = name, temperature_in_file
        blank = predictor.predict(np.zeros((1, *predictor.spec.input_shape), np.uint8))
        classes = blank.logits.shape[1]
        named = predictor.spec.class_names or [f"class_{number}" for number in range(classes)]
        self.class_names = distinct(named)
        self.value_names = predictor.values
        if len(self.class_names) != classes:
            raise ModelError(
                f"The model gives {classes} probabilities, but {len(self.class_names)} class names"
                " lie beside it: put the right labels.txt there."
            )
        self.fingerprint = f"{predictor.fingerprint}-{temperature:g}"
        self._doubtful, self._different = _doubtful(predictor), list[np.ndarray]()

    def read(self, cuts: Sequence[np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Read uint8 crops (S, S, 3) of any sizes.

        Returns:
            float64 (N, classes) probabilities, and the values by name, each float32 (N,).
        """
        shape = self._predictor.spec.input_shape
        images = np.concatenate([fitted(cut[None], shape) for cut in cuts])
        found = self._predictor.predict(images)
        if self._doubtful is not None:
            self._doubt(self._doubtful, images)
        return calibration.probabilities(found.logits, self._temperature), found.values

    def _doubt(self, model: FilePredictor, images: np.ndarray) -> None:
        """Once _TRIED images differ, warn if by the model's pixels all look alike."""
        for image in images:
            if _differs(image, self._different):
                self._different.append(image)
        if len(self._different) < _TRIED:
            return
        shown = np.stack(self._different[:_TRIED])
        self._doubtful, self._different = None, []
        warning = pixel_check.unmoved(
            self.name or "The model",
            model.spec.expected_pixels,
            lambda pixels: model.with_pixels(pixels).logits(shown),
            shown.shape[3],
        )
        if warning:
            warn(warning)


def _doubtful(predictor: Predictor) -> FilePredictor | None:
    """The model if it has classes, and its pixels from its user or from nobody; else None."""
    if not isinstance(predictor, FilePredictor) or not predictor.tells_classes:
        return None
    stated = predictor.stated.pixels is not None and not predictor.takes_whole_numbers
    return (
        predictor if (stated or predictor.assumes_pixels) and not predictor.is_untrained else None
    )


def _differs(image: np.ndarray, others: list[np.ndarray]) -> bool:
    """Whether an image is another picture than the last of the others, not the next of a film."""
    return not others or np.abs(image - others[-1].astype(np.float32)).mean() > _DIFFERENT


def load(
    model: str | Path | None,
    calibrate: str | None = None,
    stated: Stated = NOTHING,
    tell: Callable[[str], None] = lambda text: None,
    skip_bad_rows: bool = False,
) -> tuple[Reader, float | None]:
    """Load a model file or bundle folder.

    Args:
        model: a folder with `model.tflite`, or a file that `predictors.load` takes; None for the
            shipped model.
        calibrate: data set on whose validation images the probabilities are calibrated; None: they
            stay as they are.
        stated: what the user says of the model.
        tell: told what is assumed, as the end of a sentence about the model.
        skip_bad_rows: leave out unreadable rows of the data set instead of raising.

    Returns:
        The reader and its temperature; None where it was not calibrated here.

    Raises:
        ModelError: no such model, or its classes aren't the data's.
    """
    path = bundle.model_file(model)
    predictor = predictors.load(path, stated)
    known = path.parent.name if path.name == bundle.MODEL_FILE else path.name
    in_file = calibration.stated(path.read_bytes()) if path.suffix == ".tflite" else None
    if calibrate is None:
        if predictor.assumes_pixels:
            tell(pixel_check.ASSUMED_PIXELS)
        return Reader(predictor, name=known, temperature_in_file=in_file), None
    data = datasets.DataSet(calibrate, skip_bad_rows)
    samples = data.load(("validation",), predictor.spec.size)["validation"]
    for line in data.notes:
        tell(f"is calibrated on data with this note: {line}")
    for line in dict.fromkeys(samples.skipped):
        tell(f"is calibrated without what was skipped: {line}")
    with of_file(path):
        class_order.in_order_of_data(predictor, samples, tell=tell)
    temperature = calibration.fitted_temperature(predictor, samples)
    return Reader(predictor, temperature, known, in_file), temperature
