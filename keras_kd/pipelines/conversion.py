"""One model file in the format of an export's settings: converted, tuned or fine-tuned."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from keras_kd import exporters
from keras_kd._common.progress import Terminal
from keras_kd.datasets import Samples
from keras_kd.datasets.class_names import shortened
from keras_kd.datasets.class_permutation import in_model_order, permutation
from keras_kd.datasets.images import Size
from keras_kd.errors import ModelError
from keras_kd.exporters import ExportReport, tuning
from keras_kd.exporters.quantization_aware import export_quantization_aware
from keras_kd.models.spec import ModelSpec
from keras_kd.pipelines.export_settings import QAT, TUNED, ExportSettings
from keras_kd.teachers import soft_labels, views


@dataclass
class Conversion:
    """Writes one model as the settings say.

    Attributes:
        source: the model's own file, for messages.
        model: the model.
        spec: what it takes and gives.
        settings: what to write, as `export_settings.resolved` returned it.
        train: training images in the model's order of classes, or None without data.
        terminal: where the user sees progress.
        attempts: for TUNED, what `write` tried.
    """

    source: Path
    model: keras.Model
    spec: ModelSpec
    settings: ExportSettings
    train: Samples | None
    terminal: Terminal
    attempts: list[tuning.Attempt] = field(default_factory=list)

    def write(self, path: Path) -> ExportReport:
        """Write the file, compared with Keras.

        Args:
            path: the file or folder.

        Returns:
            The report.

        Raises:
            KerasKDError: see `exporters.export`.
        """
        format = self.settings.format
        self.terminal.say(f"Converting {self.source} to {format} and comparing the file with Keras")
        if format == TUNED:
            return self._tuned(path)
        return self._fine_tuned(path) if format == QAT else self._converted(path)

    def _tuned(self, path: Path) -> ExportReport:
        settings, spec = self.settings, self.spec
        validation = samples_in_order(settings, "validation", spec, self.terminal)
        made, attempts = tuning.tune(
            self.model,
            path,
            train=self.train,
            validation=validation,
            max_drop=settings.max_drop,
            io=settings.io,
            app_input=settings.app_input,
            value_range=spec.pixels,
            class_names=spec.class_names,
            output=settings.output,
        )
        self.attempts += attempts
        return made

    def _fine_tuned(self, path: Path) -> ExportReport:
        settings = self.settings
        _tell_unlearning(self.train, self.terminal)
        logits, shown = _soft_labels(settings, self.train, self.terminal)
        return export_quantization_aware(
            self.model,
            path,
            images=self.train.images,
            labels=self.train.labels,
            teacher_logits=logits,
            views=shown,
            fine_tuning=settings.fine_tuning,
            io=settings.io,
            app_input=settings.app_input,
            tell=self.terminal.say,
            value_range=self.spec.expected_pixels,
            min_agreement=settings.min_agreement,
            teacher_output="logits",  # as stores hold them
        )

    def _converted(self, path: Path) -> ExportReport:
        settings = self.settings
        return exporters.export(
            self.model,
            path,
            settings.format,
            samples=self.train,
            io=settings.io,
            class_names=self.spec.class_names,
            app_input=settings.app_input,
            value_range=self.spec.pixels,
            keep_float=settings.keep_float,
            min_agreement=settings.min_agreement,
            target=settings.target,
            measure=settings.measure,
            output=settings.output,
        )


def loaded(settings: ExportSettings, split: str, size: Size | None, terminal: Terminal) -> Samples:
    """Return a split of the data; report notes on the data and the rows that are left out.

    Args:
        settings: has the data.
        split: "train", "validation" or "test".
        size: of the images, as for `datasets.load`.
        terminal: where the user sees the notes and the rows.

    Returns:
        The samples of the split.

    Raises:
        DataError: the split can't be read.
    """
    samples = settings.data_set.load((split,), size)[split]
    terminal.notes(settings.data_set.notes)
    terminal.skipped(samples.skipped)
    return samples


def samples_in_order(
    settings: ExportSettings, split: str, spec: ModelSpec, terminal: Terminal
) -> Samples:
    """Return a split with its labels in a model's order of classes, as `loaded`.

    Args:
        settings: has the data.
        split: "train", "validation" or "test".
        spec: the model's specification; without class names the data's order stays.
        terminal: where the user sees the rows that are left out.

    Returns:
        The samples.

    Raises:
        DataError: the split can't be read.
        ModelError: the model lacks a class of the data.
    """
    samples = loaded(settings, split, spec.size, terminal)
    if spec.class_names is None:
        return samples
    labels = in_model_order(samples.labels, samples.class_names, spec.class_names)
    return dataclasses.replace(samples, labels=labels, class_names=spec.class_names)


def _tell_unlearning(train: Samples, terminal: Terminal) -> None:
    """Report the model's classes of which there are no training images."""
    known = set(train.hard_labels.tolist())
    unknown = [name for number, name in enumerate(train.class_names) if number not in known]
    if unknown:
        terminal.say(
            f"Note: the training images have none of {shortened(unknown)}: fine-tuning unlearns"
            " what the model has learnt of it, and the format int8 does not."
        )


def _soft_labels(
    settings: ExportSettings, train: Samples, terminal: Terminal
) -> tuple[np.ndarray | None, views.Views | None]:
    """The teacher's logits in the model's order of classes, and the views that they belong to."""
    if settings.soft_labels is None:
        terminal.say(
            "Fine-tuning on the labels alone: --soft-labels STORE adds a teacher's soft labels."
        )
        return None, None
    key = soft_labels.open_store(settings.soft_labels).key
    # Only the image fingerprint still has to be checked.
    expected = dataclasses.replace(key, images=soft_labels.image_fingerprint(train.images))
    store = soft_labels.open_store(settings.soft_labels, expected)
    try:
        order = permutation(key.class_names, train.class_names)
    except ModelError as error:
        raise ModelError(
            f"The soft labels at {settings.soft_labels} are of the classes"
            f" {shortened(key.class_names) or 'none'}, and the model's are"
            f" {shortened(train.class_names)}: give those of a teacher of the model's classes, or"
            " leave --soft-labels out."
        ) from error
    # Behind the logits a store may hold continuous values.
    return store.logits[..., : len(order)][..., order], views.named(key.views, len(train))
