"""Any model file as one function: uint8 images in, float32 logits and values out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from keras_kd._common.arrays import fingerprint
from keras_kd._common.folders import files_below
from keras_kd._common.identity import identity
from keras_kd.datasets import images as pixels
from keras_kd.datasets.class_names import permutation
from keras_kd.errors import ModelError, of_file
from keras_kd.models import heads, keras_file
from keras_kd.models.heads import OutputKind, kind_of_values
from keras_kd.models.keras_file import Form
from keras_kd.models.surgery.compaction import compact, expand
from keras_kd.models.surgery.keras_internals import GRAPHS, Functional
from keras_kd.models.surgery.precision import in_precision
from keras_kd.runtimes import labels, onnx_runtime, saved_model, tflite_graph
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.multiply_accumulates import of_model, of_tflite
from keras_kd.runtimes.onnx_runtime import OnnxModel

SMALLEST_PROBABILITY = 1e-7
# A higher number whenever the facts of a form that a fingerprint is made of change.
FORM_VERSION = 1
BATCH_SIZE = 128  # ResEmoteNet on two cores: 1.3 times the rate of 256, whose maps leave the cache


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

    form: Form
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


class _FilePredictor:
    """What all predictors share: the images fitted, the outputs told apart by their widths; pickled
    as their file.
    """

    form: Form
    values: tuple[str, ...]
    tells_classes: bool
    source: tuple[Any, ...]  # the arguments of `load`
    content: list[bytes | str]  # what the file holds, for the fingerprint
    graph_kind: OutputKind  # of the classes

    def __reduce__(self) -> tuple[Any, ...]:
        return load, self.source

    @property
    def multiply_accumulates(self) -> int | None:
        """Of the published shape for one image; None where that isn't known."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of the file's content and of what it takes and gives."""
        return fingerprint([*self.content, identity("model", FORM_VERSION, asdict(self.form))])

    def settle_output(self, stated: str | None, path: Path) -> None:
        """Decide what the classes' numbers are: the user's statement, then the graph, then the
        outputs for some images.

        Raises:
            ModelError: they are independent sigmoids, or it can't be told.
        """
        if not self.tells_classes:
            return
        kind = self.graph_kind
        if kind == "unknown" and not keras_file.tells(path):
            kind = kind_of_values(self._classes_of_noise())
        if stated is not None:
            if kind == "probabilities" and stated == "logits":
                warnings.warn(
                    f"{path} gives probabilities, but is stated to give logits: the statement is "
                    "followed, so softmax is taken of them.",
                    stacklevel=3,
                )
            return
        if kind == "sigmoids":
            raise ModelError(
                "The model gives a number in 0..1 for each class on its own, as independent "
                "sigmoids do, where one class an image is expected: end it in softmax, or say "
                "what it gives by --output."
            )
        if kind == "probabilities":
            self.form = replace(self.form, output="probabilities")

    def _classes_of_noise(self) -> np.ndarray:
        noise = np.random.default_rng(0).integers(0, 256, (4, *self.form.input_shape), np.uint8)
        outputs = self._outputs(_shown(noise, self.form))
        return next(output for name, output in outputs.items() if name not in self.values)

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's outputs by name, each (N, columns), for images as it takes them."""
        raise NotImplementedError

    def _know(self, widths: dict[str, int]) -> None:
        """Tell classes and values apart by the outputs' widths; ModelError for several sets of
        classes.
        """
        classes = [name for name, width in widths.items() if width != 1]
        if len(classes) > 1:
            raise ModelError(
                f"The model has {len(classes)} outputs of classes ({', '.join(classes)}): "
                "expected one at most, and values (N, 1)."
            )
        self.tells_classes = bool(classes)
        self.values = tuple(sorted(name for name, width in widths.items() if width == 1))

    def predict(self, images: np.ndarray) -> Prediction:
        """uint8 (N, H, W, C) -> float32 logits and values; probabilities p become log p, which has
        the same softmax.
        """
        outputs = self._outputs(_shown(images, self.form))
        values = {name: outputs.pop(name)[:, 0].astype(np.float32) for name in self.values}
        if not outputs:
            return Prediction(np.empty((len(images), 0), np.float32), values)
        (classes,) = outputs.values()
        return Prediction(_as_logits(classes.astype(np.float32), self.form.output), values)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, C) -> float32 (N, classes)."""
        return self.predict(images).logits


class KerasPredictor(_FilePredictor):
    """A Keras model, compacted, on Keras' backend.

    Args:
        model: one image input; one output of logits or probabilities, or several by name of which
            at most one is such and the others are values (N, 1).
        form: what it takes and gives; `input_shape` must be known.
        precision: a dtype policy to compute in, or "auto"; None for the model's own.
        batch_size: images a step.
    """

    def __init__(
        self,
        model: keras.Model,
        form: Form,
        precision: str | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        _require_known(form)
        _require_fit(model, form)
        self.graph_kind = heads.output_kind(model)
        if self.graph_kind == "probabilities":
            form = replace(form, output="probabilities")
        self.form = form
        self.content = [keras_file.weights_fingerprint(model)]
        small = compact(model) if isinstance(model, GRAPHS) else model
        self._model = small if precision is None else in_precision(small, precision)
        self._batch_size = batch_size
        self._know(heads.widths(model))

    @property
    def multiply_accumulates(self) -> int | None:
        """Of the published shape for one image; None on other backends than TensorFlow, or where
        they can't be seen.
        """
        # Shapes that are left open, or operations inside a SavedModel.
        hidden = any(isinstance(layer, keras.layers.TFSMLayer) for layer in self._model.layers)
        if (
            keras.backend.backend() != "tensorflow"
            or None in self._model.inputs[0].shape[1:]
            or hidden
        ):
            return None
        try:
            return of_model(
                expand(self._model) if isinstance(self._model, Functional) else self._model
            )
        except (TypeError, ValueError):
            # Of shapes that a foreign model leaves open; it can be used all the same.
            return None

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self._model.predict(pixels, batch_size=self._batch_size, verbose=0)
        return {
            name: np.asarray(output) for name, output in heads.by_name(self._model, outputs).items()
        }


class LiteRTPredictor(_FilePredictor):
    """A `.tflite` file on the LiteRT runtime, image by image as in an app.

    Args:
        path: the file.
        form: what it takes and gives; `input_shape` is the file's own.
    """

    def __init__(self, path: str | Path, form: Form) -> None:
        self._model = LiteRTModel(path)
        shapes = self._model.output_shapes
        widths = {name: math.prod(shape) for name, shape in shapes.items()}
        self._know(widths)
        self.form = replace(form, input_shape=self._model.input_shape)
        self._path = path
        self.content = [Path(path).read_bytes()]
        classes = [name for name in widths if name not in self.values]
        indices = self._model.output_indices
        self.graph_kind = (
            tflite_graph.output_kind(path, indices[classes[0]]) if classes else "unknown"
        )
        if self.graph_kind == "probabilities":
            self.form = replace(self.form, output="probabilities")

    @property
    def multiply_accumulates(self) -> int:
        """Of the file's own shape for one image."""
        return of_tflite(self._path)

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self._model.predict_heads(pixels)
        # Some converters leave axes of one before the classes.
        return {name: output.reshape(len(output), -1) for name, output in outputs.items()}


class OnnxPredictor(_FilePredictor):
    """An `.onnx` file on ONNX Runtime. Needs the extra `onnx`.

    Args:
        path: the file.
        form: what it takes and gives; `input_shape` is needed where the file leaves sizes open.
    """

    def __init__(self, path: str | Path, form: Form) -> None:
        self._model = OnnxModel(path)
        self._know(self._model.output_widths)
        self.form = _sized(form, self._model.input_shape)
        self.content = [file.read_bytes() for file in onnx_runtime.files(path)]
        self.graph_kind = "unknown"

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        return self._model.predict_heads(pixels)


def _saved_model(path: Path, form: Form) -> KerasPredictor:
    model = saved_model.load(path)
    form = _sized(form, tuple(model.input_shape[1:]))
    predictor = KerasPredictor(model, form, batch_size=model.input_shape[0] or BATCH_SIZE)
    predictor.graph_kind = "unknown"  # Keras sees one layer around the whole graph.
    # The folder's graph counts besides its weights.
    files = [file for file in files_below(path) if file.is_file()]
    predictor.content = [file.read_bytes() for file in files]
    return predictor


def load(
    path: str | Path,
    input_shape: tuple[int, int, int] | None = None,
    value_range: tuple[float, float] | None = None,
    output: str | None = None,
    precision: str | None = None,
) -> Predictor:
    """Load a `.keras`, `.h5`, `.tflite` or `.onnx` classifier, or a SavedModel folder.

    Args:
        path: the file or folder. A `labels.txt` beside it, or inside a `.tflite`, names its
            classes where the file itself doesn't.
        input_shape: height, width, channels, where the file doesn't fix them.
        value_range: what the model expects for pixels 0 and 255, where the file doesn't say; 0, 255
            otherwise.
        output: "logits" or "probabilities"; None to tell by the graph's end or, where that doesn't
            tell, by the outputs for some images.
        precision: to compute in; Keras models only.

    Raises:
        ModelError: the file can't be used.
    """
    path = Path(path)
    with of_file(path):
        predictor = _loaded(path, input_shape, value_range, output, precision)
        predictor.settle_output(output, path)
    predictor.source = (path.resolve(), input_shape, value_range, output, precision)
    return predictor


def _loaded(
    path: Path,
    input_shape: tuple[int, int, int] | None,
    value_range: tuple[float, float] | None,
    output: str | None,
    precision: str | None,
) -> _FilePredictor:
    if path.suffix == ".tflite":
        return LiteRTPredictor(
            path, Form(labels.of_model(path)).with_given(None, value_range, output)
        )
    stated = Form(labels.of_model(path)).with_given(input_shape, value_range, output)
    if path.suffix == ".onnx":
        return OnnxPredictor(path, stated)
    if path.is_dir():
        return _saved_model(path, stated)
    model, form = keras_file.load(path)
    if form.class_names is None:
        form = replace(form, class_names=stated.class_names)
    return KerasPredictor(model, form.with_given(input_shape, value_range, output), precision)


def reordered(predictor: Predictor, source: tuple[str, ...], target: tuple[str, ...]) -> Predictor:
    """The same classifier with its logits in another order of classes.

    Args:
        predictor: gives one logit for each of `source`.
        source: class names of its outputs.
        target: the same classes in the wanted order; "angry" and "anger" are one, see
            keras_kd.datasets.class_names.

    Raises:
        ModelError: the classes aren't the same set.
    """
    return _Reordered(predictor, permutation(source, target), target)


def in_order_of(
    predictor: Predictor, source: tuple[str, ...] | None, target: tuple[str, ...]
) -> Predictor:
    """`reordered` from `source`, taken for `target` where None; a model without classes as it is."""
    if predictor.tells_classes:
        return reordered(predictor, source or target, target)
    return predictor


class _Reordered:
    def __init__(self, predictor: Predictor, order: np.ndarray, names: tuple[str, ...]) -> None:
        self._predictor, self._order = predictor, order
        self.form = replace(predictor.form, class_names=names)
        self.fingerprint = fingerprint([predictor.fingerprint, order])
        self.values, self.tells_classes = predictor.values, True

    @property
    def multiply_accumulates(self) -> int | None:
        return self._predictor.multiply_accumulates

    def predict(self, images: np.ndarray) -> Prediction:
        found = self._predictor.predict(images)
        if found.logits.shape[1] != len(self._order):
            raise ModelError(
                f"The model gives {found.logits.shape[1]} outputs for {len(self._order)} classes "
                f"({', '.join(self.form.class_names)}): use data or class names that fit."
            )
        return replace(found, logits=found.logits[:, self._order])

    def logits(self, images: np.ndarray) -> np.ndarray:
        return self.predict(images).logits


def averaged(members: Sequence[Predictor], mirror: bool = False) -> Predictor:
    """Several models as one, by the mean of their logits and values.

    A softmax of mean logits is, at any temperature, the normalised geometric mean of the members'
    probabilities.

    Args:
        members: at least one; their classes in one order, their values the same.
        mirror: also average over each image and its mirror image.

    Raises:
        ModelError: the members tell different things.
    """
    first = members[0]
    told = [
        ("classes", *member.values) if member.tells_classes else member.values for member in members
    ]
    if len(set(told)) > 1:
        raise ModelError(
            "Models can be averaged only where all tell the classes or none, and the same values."
            f" Received models of {'; '.join(', '.join(names) for names in told)}."
        )
    return _Averaged(members, mirror) if mirror or len(members) > 1 else first


class _Averaged:
    def __init__(self, members: Sequence[Predictor], mirror: bool) -> None:
        self._members, self._mirror = members, mirror
        # Images of the largest side, from which each member resizes.
        self.form = max((member.form for member in members), key=lambda form: form.side or 0)
        self.values, self.tells_classes = members[0].values, members[0].tells_classes
        self.fingerprint = fingerprint(
            [*(member.fingerprint for member in members), "mirror" if mirror else ""]
        )

    @property
    def multiply_accumulates(self) -> int | None:
        counts = [member.multiply_accumulates for member in self._members]
        return None if None in counts else sum(counts) * (2 if self._mirror else 1)

    def predict(self, images: np.ndarray) -> Prediction:
        shown = [images, images[:, :, ::-1]] if self._mirror else [images]
        found = [member.predict(pixels) for member in self._members for pixels in shown]
        logits = np.mean([one.logits for one in found], axis=0)
        values = {
            name: np.mean([one.values[name] for one in found], axis=0) for name in self.values
        }
        return Prediction(logits, values)

    def logits(self, images: np.ndarray) -> np.ndarray:
        return self.predict(images).logits


def _require_fit(model: keras.Model, form: Form) -> None:
    _require_shape(tuple(model.input_shape[1:]), form)


def _sized(form: Form, own: tuple[int | None, ...]) -> Form:
    """The form with the input that the file fixes itself, where nothing else was stated."""
    if form.input_shape is None and None not in own and len(own) == 3:
        form = replace(form, input_shape=own)
    _require_known(form)
    _require_shape(own, form)
    return form


def _require_known(form: Form) -> None:
    if form.input_shape is None:
        raise ModelError(
            "The model takes images of any size: say which one, "
            "as --teacher-input HEIGHTxWIDTHxCHANNELS or Form(input_shape=...)."
        )
    if min(form.input_shape) < 1 or math.prod(form.input_shape[:2]) > pixels.MAX_PIXELS:
        raise ModelError(
            f"The model takes images of shape {form.input_shape}: expected height and width of 1 or"
            f" more, and {pixels.MAX_PIXELS:,} pixels at most."
        )
    if form.output not in keras_file.OUTPUTS:
        raise ModelError(
            f"output must be one of {', '.join(keras_file.OUTPUTS)}. Received: {form.output!r}."
        )


def _require_shape(own: tuple[int | None, ...], form: Form) -> None:
    if len(own) != 3 or any(
        size not in (None, given) for size, given in zip(own, form.input_shape, strict=True)
    ):
        raise ModelError(
            f"The model takes inputs of shape {own}, not images of shape {form.input_shape}: "
            "check --teacher-input and that it takes height, width, channels."
        )


def _shown(images: np.ndarray, form: Form) -> np.ndarray:
    """The images in the size, colour and value range that the model takes."""
    shown = pixels.fitted(images, form.input_shape)
    low, high = form.value_range
    if (low, high) == (0, 255):
        return shown
    return (low + (high - low) / 255 * shown.astype(np.float32)).astype(np.float32)


def _as_logits(outputs: np.ndarray, output: str) -> np.ndarray:
    return (
        np.log(np.maximum(outputs, SMALLEST_PROBABILITY)) if output == "probabilities" else outputs
    )
