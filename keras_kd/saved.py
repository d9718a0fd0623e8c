"""Models in files, with what must travel with them: class names and the form of inputs and outputs.

A `.keras` file is a zip archive; this library adds one entry, `keras_kd.json`, that Keras passes over.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np

from keras_kd import compaction, models  # noqa: F401  compaction registers its layers for loading
from keras_kd.errors import ModelError
from keras_kd.files import fingerprint, written_whole

ENTRY = "keras_kd.json"
OUTPUTS = ("logits", "probabilities")


@dataclass(frozen=True)
class Form:
    """What a model takes and gives.

    Attributes:
        class_names: one name an output, or None where the file doesn't tell.
        value_range: what the model expects for pixels 0 and 255.
        output: "logits" or "probabilities".
        input_shape: height, width, channels.
    """

    class_names: tuple[str, ...] | None = None
    value_range: tuple[float, float] = (0.0, 255.0)
    output: str = "logits"
    input_shape: tuple[int, int, int] | None = None

    @property
    def side(self) -> int | None:
        """The size to load images in, so that they are resized once: of square inputs their side; None for others."""
        if self.input_shape is None or self.input_shape[0] != self.input_shape[1]:
            return None
        return self.input_shape[0]

    def with_given(
        self,
        input_shape: tuple[int, int, int] | None,
        value_range: tuple[float, float] | None,
        output: str | None,
    ) -> Form:
        """The same with what the user states about the model in place of what its file says."""
        return replace(
            self,
            input_shape=input_shape or self.input_shape,
            value_range=value_range or self.value_range,
            output=output or self.output,
        )


def save(model: keras.Model, path: str | Path, form: Form) -> None:
    """Write `model` to `path` (.keras) with its form; whole or not at all."""
    with written_whole(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(ENTRY, json.dumps(asdict(form)))


def load(path: str | Path) -> tuple[keras.Model, Form]:
    """Load a `.keras` or `.h5` file; code stored in the file is never run (Keras' safe mode).

    Raises:
        ModelError: missing, broken or unsafe file, or several inputs.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"No model at {path}: check the path, or see `kerakd models` for names.")
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is empty or cut short, or no .keras file: copy it again.")
    models.names()  # Imports every architecture, which registers its layers.
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises what its layers raise: no narrower type covers a damaged file.
        raise ModelError(
            f"{path} can't be loaded as a Keras model ({_reason(error)}): give a whole file of Keras' own layers."
        ) from error
    if path.suffix == ".h5" and isinstance(model, keras.Sequential) and model.built:
        # The layers of Keras 2 name the input's shape themselves, which cloning forgets.
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if len(model.inputs) != 1:
        raise ModelError(f"{path} has {len(model.inputs)} inputs: only models of one image input can be used.")
    form = _stored_form(path)
    return model, form if form.input_shape else replace(form, input_shape=_input_shape(model))


def _reason(error: Exception) -> str:
    """One sentence of Keras' message, which has the cause at its end, after the whole configuration."""
    cause = str(error).strip().rpartition("Exception encountered: ")[2]
    return cause.splitlines()[0].split(". ")[0].rstrip(".") if cause else type(error).__name__


def _input_shape(model: keras.Model) -> tuple[int, int, int] | None:
    shape = tuple(model.input_shape[1:])
    return shape if len(shape) == 3 and None not in shape else None


def _stored_form(path: Path) -> Form:
    if not zipfile.is_zipfile(path):
        return Form()
    with zipfile.ZipFile(path) as archive:
        if ENTRY not in archive.namelist():
            return Form()
        try:
            stored = json.loads(archive.read(ENTRY))
            names, shape = stored["class_names"], stored["input_shape"]
            return Form(names and tuple(names), tuple(stored["value_range"]), stored["output"], shape and tuple(shape))
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ModelError(f"{path} holds a damaged {ENTRY}: write the model again with keras_kd.") from error


def weights_fingerprint(model: keras.Model) -> str:
    """16 hexadecimal digits over all weights, in order."""
    return fingerprint(np.asarray(weight) for weight in model.weights)
