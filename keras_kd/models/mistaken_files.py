"""Files given as models that are something else, recognised by their first bytes and names."""

from __future__ import annotations

import zipfile
from pathlib import Path

from keras_kd._common.files import refuse_special
from keras_kd._common.paths import advice
from keras_kd.errors import ModelError
from keras_kd.models import bundles

_POINTER = "a Git LFS pointer in place of a model: fetch the file with `git lfs pull`"
_PAGE = "an HTML page in place of a model, as a failed download leaves: download the file itself"
_BEGINNINGS = {
    b"version https://git-lfs": _POINTER,
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
}
_KERAS = (".keras", ".h5", ".hdf5")
_MODELS = (*_KERAS, ".tflite", ".onnx")
_WEIGHTS = ".weights.h5"
_WHOLE = "load them into their model, and save it whole by model.save('model.keras')"
_OTHERS = "give the .keras, .h5, .tflite or .onnx file, or the SavedModel, that it was made from"
_SUFFIXES = {
    ".pth": "PyTorch's: bring its weights into a Keras model by `kerakd import`",
    ".pt": "PyTorch's: bring its weights into a Keras model by `kerakd import`",
    ".safetensors": "weights alone: bring them into a Keras model by `kerakd import`",
    ".pb": "a graph of TensorFlow: give the folder of the SavedModel that it lies in",
    ".json": "a description without weights: give the .keras, .h5 or .tflite file of the model",
    ".ckpt": "a checkpoint, weights alone: bring PyTorch's into a Keras model by `kerakd import`;"
    f" if they are Keras', {_WHOLE}",
    ".engine": f"TensorRT's: {_OTHERS}",
    ".mlmodel": f"Core ML's: {_OTHERS}",
    ".ort": f"ONNX Runtime's own form: {_OTHERS}",
    ".zip": "an archive: unpack it, unless it is a .keras file of another name",
    ".pkl": "a pickle, which may hold code and is not read: save the model whole by"
    " model.save('model.keras')",
}


def is_called_as_model(path: Path) -> bool:
    """Whether a file's name is that of a whole model in a form that commands read.

    Args:
        path: the file.

    Returns:
        True or False; False for Keras' files of weights alone.
    """
    return path.suffix.lower() in _MODELS and not path.name.endswith(_WEIGHTS)


def require_model(path: Path) -> None:
    """Check that a file may be a model.

    Args:
        path: the file, or the folder of a SavedModel; a missing file passes.

    Raises:
        ModelError: it is plainly something else; the message says what, and what to do.
    """
    if path.is_dir():
        require_saved_model(path)
    elif path.exists():
        try:
            refuse_special(path)
        except ValueError as error:
            raise ModelError(f"{path} is no model: {error}.") from error
    try:
        start = _start(path)
    except OSError:
        return  # Its reader says why.
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    problem = next((what for mark, what in _BEGINNINGS.items() if text.startswith(mark)), None)
    problem = problem or _misnamed(path, start) or _SUFFIXES.get(path.suffix.lower())
    if problem:
        raise ModelError(f"{path} is {problem}.")


def require_keras(path: Path) -> None:
    """Check that a path may be a Keras model, whose weights can be trained and converted.

    Args:
        path: the path.

    Raises:
        ModelError: there is nothing, a converted model, or plainly something else; the message says
            what to give.
    """
    path = bundles.model_file(path)
    if path.is_dir():
        require_saved_model(path, _KERAS)
        kind = "a SavedModel"
    elif _start(path)[4:8] == b"TFL3" and path.suffix == ".tflite":
        kind = "a .tflite file"
    elif path.is_file() and path.suffix.lower() == ".onnx":
        kind = "an .onnx file"
    elif path.is_file():
        return require_model(path)
    else:
        raise ModelError(f"No model at {path}: {advice(path)}.")
    raise ModelError(
        f"{path} is {kind}, from which no Keras model can be made: give the .keras or .h5 file that"
        " it was exported from."
    )


def require_saved_model(folder: Path, suffixes: tuple[str, ...] = _MODELS) -> None:
    """Check that a folder may be a SavedModel.

    Args:
        folder: an existing folder.
        suffixes: of the models that the message names, if they lie there.

    Raises:
        ModelError: it has no `saved_model.pb`; the message names the models that lie in it.
    """
    try:
        if (folder / "saved_model.pb").is_file():
            return
        found = sorted(folder.iterdir())
        advice = _advice(folder, found, suffixes)
    except OSError as error:
        raise ModelError(f"{folder} can't be read ({error.strerror}): check the path.") from error
    raise ModelError(f"{folder} is no SavedModel: it has no file saved_model.pb; {advice}.")


def _advice(folder: Path, found: list[Path], suffixes: tuple[str, ...]) -> str:
    """What to do with a folder that is no SavedModel."""
    names = [file.name for file in found]
    models = [
        name
        for name in names
        if Path(name).suffix.lower() in suffixes and is_called_as_model(Path(name))
    ]
    # As TensorFlow Serving keeps the versions of a model.
    models += [one.name for one in found if (one / "saved_model.pb").is_file()]
    if models:
        return f"give a model that lies in it ({', '.join(models[:5])})"
    if any(name.endswith(_WEIGHTS) for name in names) and "config.json" in names:
        return (
            "it has the parts of a model, as a preset of KerasHub or an unpacked .keras file: load"
            " it there, and save it whole by model.save('model.keras')"
        )
    if "checkpoint" in names or any(name.endswith(_WEIGHTS) for name in names):
        return f"it has weights alone: {_WHOLE}"
    return "check the path"


def _start(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(64)


def _misnamed(path: Path, start: bytes) -> str | None:
    """Runtimes are chosen by a file's name, in small letters."""
    if start[4:8] == b"TFL3" and path.suffix != ".tflite":
        return f"a .tflite file: call it {path.stem}.tflite"
    if start.startswith(b"\x89HDF\r\n") and path.suffix not in (".h5", ".hdf5"):
        return f"an HDF5 file: call it {path.stem}.h5"
    if start.startswith(b"PK") and path.suffix != ".keras" and _holds_keras(path):
        return f"an archive, as .keras files are: call it {path.stem.removesuffix('.keras')}.keras"
    if start.startswith(b"\x1f\x8b"):
        return "packed by gzip: unpack it"
    if path.suffix != path.suffix.lower() and path.suffix.lower() in _MODELS:
        return f"a model whose name ends in capitals: call it {path.stem}{path.suffix.lower()}"
    return None


def _holds_keras(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "config.json" in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
