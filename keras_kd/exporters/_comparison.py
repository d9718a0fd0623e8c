"""The differences between a file's outputs and those of the Keras model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_kd._common.arrays import evenly
from keras_kd.datasets.images import fitted
from keras_kd.errors import ExportError
from keras_kd.exporters._serving import Serving, outputs_by_name

COMPARED = 200
# The second class of two is meant above these values of one number, by its kind.
BOUNDARIES = {"logits": 0.0, "sigmoids": 0.5}
_STEP = 32
# Images that Keras must give a class, for its share of the same answers to mean something.
_OF_A_CLASS = 5


@dataclass(frozen=True)
class ClassAnswers:
    """What a file answers for the images that Keras gives one class.

    Attributes:
        name: of the class, or its number; of several heads with the head's.
        images: how many they are.
        same: share of them to which the file gives the same class, 0..1.
    """

    name: str
    images: int
    same: float


@dataclass(frozen=True)
class Answers:
    """What file and Keras answer for the same images, which class has the largest output.

    Attributes:
        images: how many were compared.
        same: share of the images on which both name the same class, 0..1; of several outputs of
            classes the smallest share.
        accuracy: of the file, 0..1; None where no labels are known.
        keras_accuracy: of the Keras model.
        worst_class: of the classes that Keras gives five images or more, the one of which the file
            keeps the smallest share; None where there is none.
    """

    images: int
    same: float
    accuracy: float | None = None
    keras_accuracy: float | None = None
    worst_class: ClassAnswers | None = None


@dataclass(frozen=True)
class Comparison:
    """A file beside its Keras model.

    Attributes:
        difference: the largest of any output, as a share of the spread (largest - smallest) of
            Keras' values.
        answers: None on random pixels, and where no output is of classes.
    """

    difference: float
    answers: Answers | None


@dataclass(frozen=True)
class Expected:
    """What Keras computes, for the files to agree with.

    Attributes:
        images: (N, H, W, C) of the files' input shape, pixels 0..255.
        outputs: by name, float32 (N, ...).
        labels: int (N,), the images' classes; None on random pixels and where none are known.
        random: whether the images are random pixels.
        boundary: of the only output, one number, above which the second of two classes is meant;
            None for all others.
    """

    images: np.ndarray
    outputs: dict[str, np.ndarray]
    labels: np.ndarray | None = None
    random: bool = False
    boundary: float | None = None


def expected(
    reference: keras.Model,
    serving: Serving,
    images: np.ndarray | None,
    labels: np.ndarray | None,
    boundary: float | None = None,
) -> Expected:
    """Compute the outputs that files must give.

    Args:
        reference: the model to agree with.
        serving: the profile of input and output.
        images: (N, H, W, C) of the files' input shape; COMPARED of them are used. None for random
            pixels.
        labels: int (N,), the images' classes, or None.
        boundary: as `Expected` has it.

    Raises:
        ExportError: the outputs hold NaN.
    """
    if images is None:
        noise = _noise(serving)
        return Expected(noise, _outputs(reference, serving, noise), random=True)
    shown = evenly(images, COMPARED)
    known = None if labels is None else evenly(labels, COMPARED)
    return Expected(shown, _outputs(reference, serving, shown), known, boundary=boundary)


def compare(
    expected: Expected, serving: Serving, run: Callable[[np.ndarray], dict[str, np.ndarray]]
) -> Comparison:
    """Compare number, names, shapes and values of a file's outputs with those of Keras.

    Args:
        expected: what `expected` returned.
        serving: the profile of input and output.
        run: computes the file's outputs by name for images.

    Raises:
        ExportError: the outputs are of another number, name or shape.
    """
    found = run(serving.as_input(expected.images))
    _require_same_form(expected.outputs, found)
    difference = max(_relative(values, found[name]) for name, values in expected.outputs.items())
    answers = None if expected.random else _answers(expected, found, serving.class_names)
    return Comparison(difference, answers)


def _noise(serving: Serving) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, *serving.input_shape), np.uint8)


def _outputs(reference: keras.Model, serving: Serving, images: np.ndarray) -> dict[str, np.ndarray]:
    # Resized here by Pillow and in the file by its own graph: the comparison covers that too.
    pixels = fitted(images, tuple(reference.inputs[0].shape[1:])) if serving.app else images
    pixels = serving.in_range(pixels)
    parts = [_by_name(reference, serving, pixels[i : i + _STEP])
             for i in range(0, len(pixels), _STEP)]  # fmt: skip
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    # Symbolic outputs of look-ups have no type of text.
    if texts := [name for name, values in outputs.items() if values.dtype.kind in "OSU"]:
        raise ExportError(
            f"{reference.name} gives text in its output {texts[0]}, and files give numbers: leave"
            " that output out, keras.Model(model.input, the others)."
        )
    if broken := [name for name, values in outputs.items() if not np.isfinite(values).all()]:
        raise ExportError(
            f"The model's output {broken[0]} holds NaN or infinity for one of {len(images)}"
            " images: train it anew."
        )
    return outputs


def _by_name(reference: keras.Model, serving: Serving, pixels: np.ndarray) -> dict[str, np.ndarray]:
    outputs = outputs_by_name(reference, pixels.astype(reference.inputs[0].dtype))
    outputs = serving.probabilities(outputs) if serving.app else outputs
    return {name: keras.ops.convert_to_numpy(values) for name, values in outputs.items()}


def _require_same_form(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
    shapes = {name: values.shape[1:] for name, values in expected.items()}
    given = {name: values.shape[1:] for name, values in found.items()}
    if shapes != given:
        raise ExportError(
            f"The file's outputs are {_described(given)}, those of the model {_described(shapes)}: "
            "export as saved_model, or give the model outputs that differ."
        )


def _described(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"


def _relative(expected: np.ndarray, found: np.ndarray) -> float:
    # NaN must come out as NaN, which no tolerance admits; an untrained model's spread may be next
    # to nothing.
    return float(np.abs(expected - found).max() / max(np.ptp(expected), 1e-3))


def _answers(
    expected: Expected, found: dict[str, np.ndarray], class_names: Sequence[str] | None
) -> Answers | None:
    ours, theirs = (_classes(outputs, expected.boundary) for outputs in (expected.outputs, found))
    if not ours:
        return None
    # With several heads, the one that changed most decides.
    same = min(float(np.mean(ours[name] == theirs[name])) for name in ours)
    classes = []
    for name in ours:
        columns = 2 if expected.boundary is not None else expected.outputs[name].shape[1]
        names = _names(columns, class_names, f" of {name}" if len(ours) > 1 else "")
        classes += _by_class(ours[name], theirs[name], names)
    worst = min(classes, key=lambda one: one.same, default=None)
    # Labels belong to one head, and nothing says to which of several.
    if expected.labels is None or len(ours) > 1:
        return Answers(len(expected.images), same, worst_class=worst)
    right, keras_right = (
        float(np.mean(answers[name] == expected.labels))
        for answers in (theirs, ours)
        for name in ours
    )
    return Answers(len(expected.images), same, right, keras_right, worst)


def _names(columns: int, class_names: Sequence[str] | None, of_head: str) -> list[str]:
    """The names of an output's classes; the user's are those of as many columns."""
    fitting = class_names if class_names is not None and len(class_names) == columns else None
    return [f"{name}{of_head}" for name in fitting or (f"class {one}" for one in range(columns))]


def _by_class(ours: np.ndarray, theirs: np.ndarray, names: Sequence[str]) -> list[ClassAnswers]:
    """The same answers, class by class of those that Keras gives often enough."""
    numbers, counts = np.unique(ours, return_counts=True)
    return [
        ClassAnswers(names[number], count, float(np.mean(theirs[ours == number] == number)))
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
        if count >= _OF_A_CLASS
    ]


def _classes(outputs: dict[str, np.ndarray], boundary: float | None) -> dict[str, np.ndarray]:
    """The class that each image is given, by the outputs of classes."""
    if boundary is not None:
        return {name: (values[:, 0] > boundary).astype(int) for name, values in outputs.items()}
    return {
        name: values.argmax(1)
        for name, values in outputs.items()
        if values.ndim == 2 and values.shape[1] > 1
    }
