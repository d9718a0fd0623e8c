"""One model written in several formats, each file compared with Keras before it gets its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from keras_kd._common.files import written_whole
from keras_kd._common.folders import folder_written_whole
from keras_kd.datasets import Samples
from keras_kd.datasets.images import fitted
from keras_kd.datasets.pixel_values import PixelStatement, PixelValues, pixel_values
from keras_kd.exporters import _conversion_process, _judgement, _request, measuring, targets
from keras_kd.exporters._judgement import MIN_AGREEMENT, LayerError
from keras_kd.exporters._registry import find
from keras_kd.exporters.measuring import Choice
from keras_kd.runtimes import litert, tflite_operators

if TYPE_CHECKING:
    import keras

    from keras_kd.exporters._comparison import Answers, Expected
    from keras_kd.exporters._serving import Serving
    from keras_kd.models.output_kinds import OutputKind


@dataclass(frozen=True)
class ExportReport:
    """The result of an export.

    Attributes:
        path: the file or folder.
        format: the format's name.
        bytes: the size on disk.
        max_difference: the largest difference from Keras' outputs, as a share of their spread.
        operators: number of uses of each operator; empty for formats other than `.tflite`.
        answers: how often file and Keras predict the same class; None without samples or classes.
        proof: what was proven of the file for its target, in words; empty without a target.
        choice: the form of the first convolution that was chosen by measuring; None without.
        layer_errors: what rounding adds in each operator, the largest first, before a form was
            chosen by measuring; empty for formats that do not round, and without samples.
    """

    path: Path
    format: str
    bytes: int
    max_difference: float
    operators: Counter[str]
    answers: Answers | None = None
    proof: tuple[str, ...] = ()
    choice: Choice | None = None
    layer_errors: tuple[LayerError, ...] = ()

    @property
    def worst_layer(self) -> LayerError | None:
        """The largest of `layer_errors`; None where there are none."""
        return self.layer_errors[0] if self.layer_errors else None


def expect(formats: Iterable[str]) -> None:
    """Start what conversions need ahead of them, so that it imports while the caller goes on.

    Args:
        formats: the formats that will be written.

    Raises:
        ExportError: there is no such format.
    """
    if any(find(format).NEEDS_SAMPLES for format in formats):
        _conversion_process.start()


class Exporter:
    """Writes one model in several formats; what the formats share is computed once.

    Args:
        model: as for `export`, like all arguments.
        samples: see `export`.
        io: see `export`.
        class_names: see `export`.
        app_input: see `export`.
        value_range: see `export`.
        keep_float: see `export`.
        output: see `export`.

    Raises:
        ExportError: class_names are no names.
    """

    def __init__(
        self,
        model: keras.Model,
        samples: Samples | np.ndarray | None = None,
        io: str = "float",
        class_names: tuple[str, ...] | None = None,
        app_input: tuple[int, int, int] | None = None,
        value_range: PixelStatement | None = None,
        keep_float: tuple[str, ...] = (),
        output: OutputKind | None = None,
    ):
        self.model = model
        self.samples = samples
        self.io = io
        self.class_names = _request.names(class_names)
        self.app_input = app_input
        self.value_range = value_range
        self.keep_float = keep_float
        self.output = output
        self._known: tuple[str, _Prepared] | None = None

    def export(
        self,
        path: str | Path,
        format: str = "dynamic",
        min_agreement: float = MIN_AGREEMENT,
        target: str | None = None,
        measure: bool = False,
    ) -> ExportReport:
        """Write one format; see the function `export`.

        Args:
            path: the file to write.
            format: one of names().
            min_agreement: see `export`.
            target: see `export`.
            measure: see `export`.

        Returns:
            The report.

        Raises:
            ExportError: see `export`.
            OutputError: see `export`.
        """
        module, path = find(format), Path(path)
        _request.check(module, format, path, self.io, self.samples)
        targets.require_tflite(target, format, module.SUFFIX)
        _request.check_settings(format, self.keep_float, min_agreement)
        if measure:
            measuring.require_choice(format, self.io)
        # The conversion's process imports TensorFlow while this one does.
        expect([format])
        # TensorFlow takes seconds to import: not before the request is known to make sense.
        from keras_kd.exporters import _comparison, _samples
        from keras_kd.runtimes import stored_spec

        prepared = self._prepared()
        serving, images = prepared.serving, prepared.images
        if module.NEEDS_SAMPLES:
            _samples.warn_of_few(images, format)
        # The file gets its name only when it was compared: a wrong one is never left behind.
        with _written(path, module) as temporary:
            errors = module.write(
                serving, temporary, None if images is None else serving.as_input(images)
            )
            choice = measuring.keep_faster(temporary) if measure else None
            comparison = _comparison.compare(
                prepared.expected, serving, lambda batch: module.run(temporary, batch)
            )
            layer_errors = _judgement.by_layer(errors, serving)
            _judgement.require_right(format, module, comparison, layer_errors, min_agreement)
            proof = targets.prove(target, temporary) if target else ()
            stored_spec.write(temporary, serving.spec(prepared.pixels), module.SUFFIX)
            if module.SUFFIX == ".tflite":
                litert.note_made(temporary)
        operators = tflite_operators.counts(path) if module.SUFFIX == ".tflite" else Counter()
        return ExportReport(
            path, format, _size(path), comparison.difference, operators, comparison.answers,
            proof, choice, layer_errors,
        )  # fmt: skip

    def _prepared(self) -> _Prepared:
        """What was prepared for the model as it is: it may be trained between two exports."""
        from keras_kd.exporters import _model
        from keras_kd.models import fingerprints

        _model.require(self.model)
        now = fingerprints.of_model(self.model)
        if self._known is None or self._known[0] != now:
            self._known = now, self._prepare()
        return self._known[1]

    def _prepare(self) -> _Prepared:
        from keras_kd.exporters import (
            _comparison,
            _model,
            _output_kinds,
            _runtime_form,
            _samples,
            _serving,
        )
        from keras_kd.models import heads
        from keras_kd.models.surgery.precision import in_float32

        _output_kinds.require_statement(self.output)
        model = _model.graph_of(self.model)
        model, output = _model.for_io(model, self.io, self.class_names, self.output)
        _model.check(model, self.class_names)
        reference = in_float32(model)
        stated = None if self.value_range is None else pixel_values(self.value_range)
        # One number that tells two classes apart is judged as two columns are.
        kind = _output_kinds.of_two_classes(
            reference, self.class_names, output, stated or PixelValues(), self.samples
        )
        classifier = heads.in_two_columns(reference, kind) if kind else reference
        samples = self._checked_samples(classifier, two_classes=kind is not None)
        known = self._known_pixels(classifier, samples, stated)
        pixels = known or PixelValues()
        _model.require_pixels(model, pixels)
        _model.require_apart(reference, pixels)
        app_input = _model.app_input(model, self.io, self.app_input)
        gray = self.io == "app" and app_input[2] == 1
        images = labels = None
        if samples is not None:
            shown = _samples.shown(samples, pixels)
            size = app_input if self.io == "app" else tuple(model.inputs[0].shape[1:])
            images, labels = fitted(shown.images, size), shown.labels
        kinds = _output_kinds.kinds_by_output(reference, output, pixels, images, self.io == "app")
        if kind:
            kinds |= dict.fromkeys(heads.names(reference), kind)
        serving = _serving.Serving(
            _runtime_form.runtime_form(reference, gray), self.io, app_input, reference, pixels,
            self.keep_float, kinds, self.class_names,
        )  # fmt: skip
        boundary = _comparison.BOUNDARIES[kind] if kind else None
        expected = _comparison.expected(reference, serving, images, labels, boundary)
        return _Prepared(serving, known, expected, images)

    def _checked_samples(
        self, classifier: keras.Model, two_classes: bool
    ) -> Samples | np.ndarray | None:
        """The samples, which fit the model; its one number may tell two classes apart."""
        from keras_kd.exporters import _samples

        if self.samples is None:
            return None
        if two_classes and self.class_names is None:
            _samples.require_two_classes(self.samples, classifier.name)
        return _samples.checked(self.samples, classifier, self.class_names)

    def _known_pixels(
        self,
        classifier: keras.Model,
        samples: Samples | np.ndarray | None,
        stated: PixelValues | None,
    ) -> PixelValues | None:
        """The pixel values that are stated, or that model and samples show; None if neither."""
        from keras_kd.exporters import _samples

        ordered = self.class_names is not None
        known = stated or _samples.found_pixels(classifier, samples, ordered)
        # The library's own students take 0..255, even if they have learnt too little to show it.
        if known and not known.plain:
            _samples.doubt(classifier, samples, known, ordered)
        return known


@dataclass(frozen=True)
class _Prepared:
    """What the formats of a model share.

    Attributes:
        serving: what the files compute.
        pixels: what the model takes for pixels 0..255; None where nobody says.
        expected: the outputs that the files must give.
        images: uint8 (N, H, W, C) of the files' input shape, which calibrate, or None.
    """

    serving: Serving
    pixels: PixelValues | None
    expected: Expected
    images: np.ndarray | None


def _written(path: Path, module: ModuleType) -> AbstractContextManager[Path]:
    return written_whole(path) if module.SUFFIX else folder_written_whole(path, module.NAMES)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
