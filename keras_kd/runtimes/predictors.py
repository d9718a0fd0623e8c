"""Any model file as one function from uint8 images to float32 logits and values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_kd._common.user_warnings import warn
from keras_kd.datasets.class_names import as_typed
from keras_kd.errors import of_file
from keras_kd.models import bundles, mistaken_files
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import labels, published, stored_spec, tflite_metadata
from keras_kd.runtimes._combined import averaged, in_one_order, mean, reordered
from keras_kd.runtimes._file_predictor import FilePredictor
from keras_kd.runtimes._litert_predictor import LiteRTPredictor
from keras_kd.runtimes._onnx_predictor import OnnxPredictor
from keras_kd.runtimes.prediction import Prediction, Predictor
from keras_kd.runtimes.stated import NOTHING, Stated

# Keras takes seconds to import, and other files don't need it.
if TYPE_CHECKING:
    import keras

    from keras_kd.runtimes._keras_predictor import KerasPredictor

__all__ = [
    "FilePredictor",
    "KerasPredictor",
    "LiteRTPredictor",
    "OnnxPredictor",
    "Prediction",
    "Predictor",
    "Stated",
    "averaged",
    "in_one_order",
    "load",
    "mean",
    "of_converted",
    "of_keras_file",
    "reordered",
]


def __getattr__(name: str) -> Any:
    """Import what needs Keras when it is first asked for."""
    if name != "KerasPredictor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from keras_kd.runtimes._keras_predictor import KerasPredictor

    return KerasPredictor


def load(path: str | Path, stated: Stated = NOTHING, precision: str | None = None) -> FilePredictor:
    """Load a `.keras`, `.h5`, `.tflite` or `.onnx` classifier, a bundle's folder or a SavedModel.

    Args:
        path: the file or folder. If the file has no class names, those in a list beside it
            (`labels.txt`, `class_indices.json` and others, see `labels`) or inside a `.tflite` are
            used.
        stated: the user's statements, which override those of the file; a contradiction causes a
            warning.
        precision: dtype policy to compute in, or "auto", for Keras models only; None for the
            model's own.

    Returns:
        The predictor.

    Raises:
        ModelError: the file can't be used.
    """
    path = bundles.model_file(path)
    mistaken_files.require_model(path)
    with of_file(path):
        predictor = _settled(_loaded(path, stated, precision), path, stated)
    predictor.source = load, (path.resolve(), stated, precision)
    return predictor


def of_keras_file(
    path: str | Path, stated: Stated, prefix: str = ""
) -> tuple[keras.Model, ModelSpec]:
    """Load a Keras file's own model, to train or to convert it.

    Args:
        path: the `.keras` or `.h5` file.
        stated: as for `load`.
        prefix: of the options that state something of it, as in `--student-classes`.

    Returns:
        The model, and what the file, the files beside it and the user say of it.

    Raises:
        ModelError: the file can't be used, or what is said of its classes contradicts itself.
    """
    from keras_kd.models import keras_file

    path = Path(path)
    model, own = keras_file.load(path)
    return model, _of_keras(own, path, stated, prefix)


def of_converted(
    file: Path, path: Path, model: keras.Model, own: ModelSpec, stated: Stated = NOTHING
) -> FilePredictor:
    """Return a `.tflite` that a Keras file was converted to, with all that is known of the Keras
    file.

    Args:
        file: the `.tflite`, without metadata.
        path: the Keras file.
        model: the model in it.
        own: what the Keras file itself says.
        stated: as for `load`.

    Returns:
        The predictor, which can't be copied to another process.

    Raises:
        ModelError: the file can't be used.
    """
    from keras_kd.models.untrained import is_untrained

    with of_file(path):
        predictor = LiteRTPredictor(file, _of_keras(own, path, stated), stated.head)
        predictor.is_untrained = is_untrained(model)
        predictor.names_itself = labels.named_inside(own, path)
        return _settled(predictor, path, stated)


def _settled(predictor: FilePredictor, path: Path, stated: Stated) -> FilePredictor:
    predictor.settle_output(stated.output, stored_spec.has_spec(path))
    _tell_assumed_logit(predictor, stated)
    predictor.stated = stated
    return predictor


def _of_keras(own: ModelSpec, path: Path, stated: Stated, prefix: str = "") -> ModelSpec:
    """What a Keras file, the files beside it and its user say."""
    told = labels.with_labels(_with_pixels(own, path), path, stated.class_names, prefix)
    return _with_statements(told, stated, prefix)


def _loaded(path: Path, stated: Stated, precision: str | None) -> FilePredictor:
    if not path.is_dir() and path.suffix not in (".tflite", ".onnx"):
        from keras_kd.models import keras_file
        from keras_kd.runtimes._keras_predictor import KerasPredictor

        model, own = keras_file.load(path)
        spec = _of_keras(own, path, stated)
        predictor = KerasPredictor(model, spec, precision, head=stated.head)
        predictor.names_itself = labels.named_inside(own, path)
        return predictor
    told = stored_spec.of_model(path) or ModelSpec()
    own = labels.with_labels(told, path, stated.class_names)
    other = _of_other_runtime(path, own, stated)
    other.names_itself = labels.named_inside(told, path)
    return other


def _of_other_runtime(path: Path, own: ModelSpec, stated: Stated) -> FilePredictor:
    own = _with_pixels(own, path)
    if path.suffix == ".onnx":
        return OnnxPredictor(path, _with_statements(own, stated), stated.head)
    if path.is_dir():
        from keras_kd.runtimes._keras_predictor import of_saved_model

        return of_saved_model(path, _with_statements(own, stated), stated.head)
    spec = _with_statements(own, replace(stated, input_shape=None))
    return LiteRTPredictor(path, spec, stated.head, stated.input_shape)


def _with_pixels(own: ModelSpec, path: Path) -> ModelSpec:
    """The specification with the pixel values that other programs wrote into or beside the file."""
    if own.pixels:
        return own
    inside = tflite_metadata.pixels(path) if path.suffix == ".tflite" else None
    return replace(own, pixels=inside or published.pixels(path))


def _tell_assumed_logit(predictor: FilePredictor, stated: Stated) -> None:
    """Say that a list of two labels beside a model of one plain number makes it a logit."""
    stated_so = stated.class_names is not None or stated.output is not None
    plain = predictor.is_binary and predictor.graph_kind == "logits"
    if not plain or predictor.names_itself or stated_so:
        return
    first, second = predictor.spec.class_names or ("", "")
    warn(
        f"The model gives one number without a sigmoid. It is taken for the logit of {second}"
        f" against {first}, because a list beside the file names these two classes. --output logits"
        " says that it is one; if it is a value, as valence, remove the list."
    )


def _with_statements(own: ModelSpec, stated: Stated, prefix: str = "") -> ModelSpec:
    """Combine a file's specification with the user's statements.

    Args:
        own: the specification in the file.
        stated: the user's statements, which override it; a contradiction causes a warning.
        prefix: of the options that state something, as in `--student-range`.

    Returns:
        The specification.
    """
    pairs = {
        "pixels": (own.pixels, stated.pixels),
        "classes": (own.class_names, stated.class_names),
    }
    for what, (told, said) in pairs.items():
        if told is not None and said is not None and told != said:
            warn(
                f"The file states the {what} {_shown(told, prefix)}, but the user states"
                f" {_shown(said, prefix)}: the user's statement is used."
            )
    return own.with_given(stated.input_shape, stated.pixels, stated.output, stated.class_names)


def _shown(told: object, prefix: str) -> str:
    # Pixel values are shown as the options that state them.
    return as_typed(told) if isinstance(told, tuple) else str(told).replace("--", f"--{prefix}")
