"""`.tflite` as by int8, after fine-tuning with its rounding on labels and stored soft labels.
Needs data.

TensorFlow Model Optimization works on Keras 2 models only and changes the environment when it is
imported. The work is therefore done by `_quantization.worker` in a process of its own, on a twin
of the model.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import losses
from keras_kd._common.arrays import evenly
from keras_kd._common.files import written_whole
from keras_kd.datasets.images import fitted
from keras_kd.datasets.pixel_values import PixelStatement, PixelValues, pixel_values
from keras_kd.errors import ConfigError, ExportError
from keras_kd.exporters import (
    ExportReport,
    _comparison,
    _fitting_samples,
    _judgement,
    _model,
    _request,
    _runtime_form,
    _serving,
)
from keras_kd.exporters._quantization import (
    INSTEAD,
    training_data,
    twin_description,
    worker_process,
)
from keras_kd.exporters.formats import _tflite
from keras_kd.models import heads
from keras_kd.models.output_kinds import OutputKind
from keras_kd.models.surgery.precision import in_float32
from keras_kd.runtimes import litert, stored_spec, tflite_operators
from keras_kd.teachers.views import Views


@dataclass(frozen=True)
class FineTuning:
    """Settings of the fine-tuning.

    Args:
        temperature: T of the soft labels, above 0.
        alpha: weight of the cross-entropy, 0..1.
        beta: weight of the loss on soft labels, 0 or more; None for 1 - alpha.
        epochs: epochs of each stage.
        batch_size: images in a batch.
        learning_rate: Adam's initial learning rate, which a cosine lowers to 0.
        prune: share of the weights to set to zero, 0..1; None for none.
        cluster: number of different weights to keep in each layer, 2 or more; None for all.
        seed: seed of order, views and dropout.
        soft_loss: loss on the teacher's logits, see `losses.soft_loss`.

    Raises:
        ConfigError: a value is out of its range.
    """

    temperature: float = losses.TEMPERATURE
    alpha: float = losses.ALPHA
    beta: float | None = None
    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 1e-4
    prune: float | None = None
    cluster: int | None = None
    seed: int = 0
    soft_loss: str = "kl"

    def __post_init__(self) -> None:
        if self.prune is not None and not 0 < self.prune < 1:
            raise ConfigError(f"prune must be between 0 and 1. Received: prune={self.prune}.")
        if self.cluster is not None and self.cluster < 2:
            raise ConfigError(f"cluster must be 2 or more. Received: cluster={self.cluster}.")
        if self.learning_rate <= 0:
            raise ConfigError(
                f"learning_rate must be above 0. Received: learning_rate={self.learning_rate}."
            )
        losses.soft_loss(self.soft_loss)
        if self.epochs < 1:
            raise ConfigError(f"epochs must be 1 or more. Received: epochs={self.epochs}.")

    def loss_weights(self, with_teacher: bool) -> dict[str, float]:
        """Return alpha and beta; without a teacher only the labels count."""
        if not with_teacher:
            return {"alpha": 1.0, "beta": 0.0}
        return {"alpha": self.alpha, "beta": 1 - self.alpha if self.beta is None else self.beta}


def export_quantization_aware(
    model: keras.Model,
    path: str | Path,
    images: np.ndarray,
    labels: np.ndarray,
    teacher_logits: np.ndarray | None = None,
    views: Views | None = None,
    fine_tuning: FineTuning = FineTuning(),
    io: str = "float",
    app_input: tuple[int, int, int] | None = None,
    checkpoint: str | Path | None = None,
    value_range: PixelStatement = (0.0, 255.0),
    tell: Callable[[str], None] = lambda line: None,
    min_agreement: float = _judgement.MIN_AGREEMENT,
    teacher_output: OutputKind | None = None,
) -> ExportReport:
    """Fine-tune a trained model for int8 on alpha·CE + beta·T²·KL (or another soft loss) and
    write it as `.tflite`.

    Jacob et al. 2018 (arXiv 1712.05877), section 3. The rescaling and the first convolution stay
    float32, as in the format int8. Pruning (Zhu and Gupta 2017, arXiv 1710.01878) and clustering
    come first, `epochs` each, and are kept while quantizing. They make the compressed file smaller,
    but neither the file nor its latency.

    Args:
        model: Functional or Sequential, nested or not, with one input and one output of logits or
            their softmax.
        path: the file to write, ending in `.tflite`.
        images: uint8 (N, H, W, C) of the training data, any size.
        labels: int (N,) or (N, 1) from 0 on, or float (N, classes) shares that sum to 1.
        teacher_logits: float (N, classes), or (N, views, classes) for the views of the same images;
            None trains on the labels alone. Of probabilities p, log p is learnt from.
        views: the augmented views of the images; None for the default.
        fine_tuning: settings of the training.
        io: "float" or "app", as for `export`.
        app_input: as for `export`.
        checkpoint: prefix of the files that keep the stages' weights; a run that finds them
            continues from there.
        value_range: the values that the model expects for pixels 0 and 255, or a PixelValues.
        tell: called with a line after every epoch.
        min_agreement: share of images, 0..1, on which the file must predict the same class as the
            float model before fine-tuning, unless its accuracy on them is as high: training may
            mend answers.
        teacher_output: "logits" or "probabilities", what teacher_logits are; None to decide it by
            their values.

    Returns:
        The report. Its max_difference is relative to the float model before fine-tuning.

    Raises:
        ExportError: a layer or setting has no twin, the twin differs, training or conversion
            fails, images or labels don't fit the model, or too few of the file's answers are the
            model's.
        DataError: the numbers of images, labels, logits and views differ, or the teacher's numbers
            are no logits of the model's classes.
    """
    path, taken = Path(path), pixel_values(value_range)
    labels = np.asarray(labels)
    teacher_logits = None if teacher_logits is None else np.asarray(teacher_logits)
    views = views or Views("none", len(images))
    _require_written(path, io)
    training_data.require_equally_many(len(images), labels, teacher_logits, views)
    _judgement.require_share(min_agreement)
    model = _graph(model, images, taken)
    app_input = _model.app_input(model, io, app_input)
    labels = _fitting_samples.class_labels(labels, model.outputs[0].shape[-1])
    if teacher_logits is not None:
        teacher_logits = training_data.teacher_logits_of_classes(
            teacher_logits, model, teacher_output
        )
    # Of mixed precision, the file computes in float32 before it is rounded: so does what it is
    # compared with.
    reference = in_float32(model)
    small = _runtime_form.compacted(reference)
    twin = twin_description.describe(small)
    _require_classes(small, twin.end == "softmax")
    if twin.left_out:
        tell(f"left out, as they do nothing but in training: {', '.join(twin.left_out)}")
    options = {
        **_settings(fine_tuning, twin, views, checkpoint, teacher_logits is not None),
        "pixels": taken.facts(),
        "app_input": list(app_input) if io == "app" else None,
    }
    serving = _serving.Serving(small, io, app_input, pixels=taken)
    arrays = training_data.for_worker(serving, images, labels, teacher_logits, len(views))
    with written_whole(path) as temporary:
        worker_process.fine_tune(options, arrays, twin.weights, temporary, tell)
        comparison = _compared(temporary, reference, serving, images, labels)
        _require_right(comparison.answers, min_agreement)
        _require_own_operators(temporary)
        stored_spec.write(temporary, serving.spec(taken), ".tflite")
        litert.note_made(temporary)
    return ExportReport(
        path, "qat", path.stat().st_size, comparison.difference, tflite_operators.counts(path),
        comparison.answers,
    )  # fmt: skip


def _require_written(path: Path, io: str) -> None:
    """Refuse a path or an io that the format can't have."""
    _request.require_path("qat", ".tflite", path)
    if io not in ("float", "app"):
        raise ExportError(f"The format qat offers io='float' or 'app'. Received: io={io!r}.")


def _graph(model: keras.Model, images: np.ndarray, taken: PixelValues) -> keras.Model:
    """The model as a graph that the format can hold, for these images."""
    model = _model.graph_of(model)
    _model.check(model, None)
    _model.require_pixels(model, taken)
    _require_fitting(model, images)
    return model


def _require_fitting(model: keras.Model, images: np.ndarray) -> None:
    """Refuse models of anything but one output of classes, and images that are not theirs."""
    if len(model.outputs) > 1 or model.outputs[0].shape[-1] == 1:
        raise ExportError(
            f"{model.name} has {len(model.outputs)} outputs, the first of"
            f" {model.outputs[0].shape[-1]} columns: the format qat trains one output of classes."
        )
    _fitting_samples.require_images(images, tuple(model.inputs[0].shape[1:]))
    if images.dtype != np.uint8:
        raise ExportError(
            f"The format qat trains on images of uint8 pixels 0..255. Received: {images.dtype}."
        )


def _require_classes(model: keras.Model, softmax: bool) -> None:
    """Refuse outputs that the cross-entropy of logits would misread."""
    kind = heads.output_kind(model)
    if kind == "sigmoids" or (kind == "probabilities" and not softmax):
        raise ExportError(
            f"{model.name} gives {kind}: the format qat trains logits, or a softmax of them that is"
            f" the last layer, so {INSTEAD}"
        )


def _settings(
    fine_tuning: FineTuning,
    twin: twin_description.Description,
    views: Views,
    checkpoint: str | Path | None,
    with_teacher: bool,
) -> dict[str, Any]:
    """How the worker builds the twin and trains it, as JSON values."""
    return {
        **dataclasses.asdict(fine_tuning),
        **fine_tuning.loss_weights(with_teacher),
        "layers": twin.layers,
        "output": "probabilities" if twin.end == "softmax" else "logits",
        "end": twin.end,
        "views": dataclasses.asdict(views),
        "checkpoint": None if checkpoint is None else str(Path(checkpoint).absolute()),
    }


def _compared(
    file: Path,
    reference: keras.Model,
    serving: _serving.Serving,
    images: np.ndarray,
    labels: np.ndarray,
) -> _comparison.Comparison:
    """The file's answers beside the float model's before fine-tuning."""
    shown = fitted(evenly(images, _comparison.COMPARED), serving.input_shape)
    known = labels if labels.ndim == 1 else labels.argmax(axis=1)
    known = evenly(known, _comparison.COMPARED)
    expected = _comparison.expected(reference, serving, shown, known)
    return _comparison.compare(expected, serving, functools.partial(_tflite.run, file))


def _require_own_operators(file: Path) -> None:
    """Refuse a file that needs more than LiteRT's own operators."""
    foreign = tflite_operators.custom_or_flex(file)
    if foreign:
        raise ExportError(
            f"The quantized file needs operators that LiteRT lacks: {', '.join(foreign)}."
        )


def _require_right(answers: _comparison.Answers, min_agreement: float) -> None:
    if answers.accuracy < answers.keras_accuracy:
        _judgement.require_same_answers(
            "qat",
            answers,
            min_agreement,
            "fine-tune it with another --epochs or --learning-rate, allow it by --min-agreement, "
            "or use the format float16.",
        )


# The name before the spelling became one.
export_quantisation_aware = export_quantization_aware
