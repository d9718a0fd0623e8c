"""Model files that store the class names and the specification of inputs and outputs, too.

A `.keras` file is a zip archive. This library adds one entry, `keras_kd.json`, which Keras ignores.
"""

from __future__ import annotations

import copy
import json
import math
import stat
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keras_kd import models
from keras_kd._common import system_errors
from keras_kd._common.archives import BAD_ARCHIVE, plain_archive
from keras_kd._common.files import refusals, written_whole
from keras_kd._common.text import first_line, plain_reason
from keras_kd._common.time_limit import limited
from keras_kd.errors import ModelError, OutputError
from keras_kd.models import keras_config, mistaken_files, trusted_modules
from keras_kd.models.spec import ENTRY, ModelSpec, read_spec
from keras_kd.models.surgery.keras_internals import (
    Functional,
    calls,
    is_graph,
    no_memory_for_weights,
)
from keras_kd.models.surgery.tracing import with_graph

_MEMBERS = ("config.json", "metadata.json", "model.weights.h5", ENTRY)
# What the top of an `.h5` file can be.
_MODELS = {"Functional": keras.Model, "Model": keras.Model, "Sequential": keras.Sequential}
# Numbers that a layer makes of one image: 1 GiB in float32.
LARGEST_ARRAY = 2**28
# Seconds to load a model in: NASNetLarge takes a tenth of them.
LONGEST = 300
# NASNetLarge has 5,400 arrays and groups; models in models make few levels of groups each.
MOST_LINKS, DEEPEST = 50_000, 200


def save(model: keras.Model, path: str | Path, spec: ModelSpec) -> None:
    """Write a model with its specification to a file, as a whole or not at all.

    Args:
        model: the model.
        path: the file, which ends in .keras.
        spec: the specification of its inputs and outputs.

    Raises:
        OutputError: the file can't be written.
    """
    with written_whole(path) as temporary:
        model.save(temporary)
        # If the file is gone, "a" alone would begin another one, without the model.
        with temporary.open("r+b") as file, zipfile.ZipFile(file, "a") as archive:
            archive.writestr(ENTRY, json.dumps(spec.facts()))


def load(path: str | Path) -> tuple[keras.Model, ModelSpec]:
    """Load a `.keras` or `.h5` file; code stored in the file is never run (Keras' safe mode).

    Args:
        path: the file.

    Returns:
        The model and its specification.

    Raises:
        ModelError: the file is missing, broken or unsafe, the model has several inputs, or loading
            does not end within LONGEST.
        OutputError: there is no room where Keras unpacks the file.
    """
    path = Path(path)
    mistaken_files.require_keras(path)
    models.names()  # Imports every architecture, which registers its layers.
    endless = ModelError(f"{path} takes more than {LONGEST} s to load: give a smaller model.")
    with (
        refusals(tempfile.gettempdir()),
        tempfile.TemporaryDirectory() as folder,
        limited(LONGEST, endless),
    ):
        model, spec = _read(path, Path(folder))
    if path.suffix != ".keras" and isinstance(model, keras.Sequential) and model.built:
        # The layers of Keras 2 name the input's shape themselves, which cloning forgets.
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if len(model.inputs) != 1:
        raise ModelError(
            f"{path} has {len(model.inputs)} inputs: only models of one image input can be used."
        )
    return model, spec if spec.input_shape else replace(spec, input_shape=_input_shape(model))


def _read(path: Path, folder: Path) -> tuple[keras.Model, ModelSpec]:
    """Check a file and build its model; `folder` is for what must be unpacked."""
    spec, content, by_keras_2, weights = _checked(path, folder)
    try:
        config = keras_config.read(content, by_keras_2)
        # First without memory for the weights: a file of a few bytes can declare layers of any
        # size, but not fill them.
        with no_memory_for_weights():
            _require_held(_built(config, weights), path.stat().st_size)
        return _built(config, weights), spec
    except OutputError:
        raise
    except keras_config.OtherFormNeeded as error:
        raise ModelError(f"{path} can't be loaded, since {error}.") from error
    except Exception as error:
        # Keras raises what its layers raise: no narrower type covers a damaged file.
        way = "give a whole file of Keras' own layers, or name the module of your own with"
        way += " --trust-module"
        if path.suffix != ".keras" and not isinstance(error, keras_config.Refused):
            # Keras reads less from this old form than it writes.
            other = "a SavedModel" if by_keras_2 else ".keras"
            way = f"give a whole file, or save the model as {other} where it was made"
        raise ModelError(
            f"{path} can't be loaded as a Keras model ({_reason(error)}): {way}."
        ) from error


def _built(config: dict[str, Any], weights: Path) -> keras.Model:
    # Keras takes a configuration apart while it reads it.
    config = copy.deepcopy(config)
    with keras.saving.custom_object_scope(trusted_modules.own_objects()):
        if "module" in config:
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        else:
            model = _MODELS[config["class_name"]].from_config(config["config"])
    model.load_weights(weights)
    return model if is_graph(model) else with_graph(model)


def _require_held(model: keras.Model, size: int) -> None:
    """Raise ValueError where a model's weights are larger than its file, or an image makes too
    large arrays in it.
    """
    declared = sum(
        math.prod(weight.shape) * np.dtype(weight.dtype).itemsize for weight in model.weights
    )
    if declared > size:
        raise ValueError(
            f"its layers have {declared:,} bytes of weights, and the file holds {size:,}"
        )
    for operation in _operations(model):
        for node in calls(operation):
            for tensor in node.output_tensors:
                if math.prod(length or 1 for length in tensor.shape[1:]) > LARGEST_ARRAY:
                    raise ValueError(
                        f"its layer {operation.name} makes {tensor.shape[1:]} numbers of one image,"
                        f" more than {LARGEST_ARRAY:,}"
                    )


def _operations(model: keras.Model) -> Iterator[Any]:
    """All layers and operations, also of models in the model."""
    for operation in model.layers if isinstance(model, keras.Sequential) else model.operations:
        yield operation
        if isinstance(operation, (keras.Sequential, Functional)):
            yield from _operations(operation)


def _reason(error: Exception) -> str:
    """One sentence of Keras' message, which has the cause at its end, after the whole
    configuration.
    """
    return first_line(error, "Exception encountered: ").split(". ")[0].rstrip(".")


def _input_shape(model: keras.Model) -> tuple[int, int, int] | None:
    shape = tuple(model.input_shape[1:])
    return shape if len(shape) == 3 and None not in shape else None


def _checked(path: Path, folder: Path) -> tuple[ModelSpec, str | bytes, bool, Path]:
    """Check that a file can't make Keras take more memory than it holds.

    Returns:
        the specification and configuration in it, whether another Keras than 3 wrote it, and a
        file of its weights, unpacked into `folder` where it is an archive.

    Raises:
        ModelError: it could, is damaged, or holds a damaged specification.
    """
    size = path.stat().st_size
    try:
        if path.suffix != ".keras":
            return ModelSpec(), *_h5_configuration(path, size), path
        with plain_archive(path, size) as archive:
            _require_members(archive)
            # Not read in place: each step back in an archive reads it from its beginning.
            weights = Path(archive.extract("model.weights.h5", folder))
            _require_bounded(weights, size)
            return _stored_spec(archive, path), archive.read("config.json"), False, weights
    except ModelError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and system_errors.reason(error):
            raise  # of the folder for temporary files
        # A damaged archive, or the HDF5 file in it, raises errors of many types.
        raise ModelError(
            f"{path} is cut short, damaged, or no model file ({plain_reason(error)}):"
            " copy it again."
        ) from error


def _require_members(archive: zipfile.ZipFile) -> None:
    """Raise ValueError for members that a model's archive doesn't have, twice, or that lead
    elsewhere.
    """
    names = Counter(entry.filename for entry in archive.infolist())
    for entry in archive.infolist():
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ValueError(f"its member {entry.filename} is a link")
    if wrong := [name for name, count in names.items() if count > 1 or name not in _MEMBERS]:
        raise ValueError(
            f"it holds {wrong[0]} beside or twice in a Keras model's {', '.join(_MEMBERS)}"
        )


def _h5_configuration(path: Path, size: int) -> tuple[str | bytes, bool]:
    """The configuration in an `.h5` file, and whether another Keras than 3 wrote it."""
    if not h5py.is_hdf5(path):
        raise ValueError("it is no HDF5 file")
    _require_bounded(path, size)
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise ModelError(
                f"{path} holds weights without a model: load them into their model, and save it"
                " whole by model.save('model.keras')."
            )
        version = file.attrs.get("keras_version", "")
        version = version if isinstance(version, str) else version.decode()
        return file.attrs["model_config"], not version.startswith("3.")


def _require_bounded(file: Path, size: int) -> None:
    """Raise ValueError where an HDF5 file declares more than `size` bytes, or sends its reader
    elsewhere.
    """
    links: dict[str, object] = {}
    with h5py.File(file) as content:
        # An exception in there would not get out of the HDF5 library.
        content.visititems_links(
            lambda name, link: links.update({name: link}) or _too_many(links, name)
        )
        if links and _too_many(links, next(reversed(links))):
            raise ValueError(
                f"it holds more than {MOST_LINKS:,} arrays and groups, or {DEEPEST} levels of them"
            )
        declared = sum(_bytes(content, name, link) for name, link in links.items())
    if declared > size:
        raise ValueError(f"it declares {declared:,} bytes of weights and holds {size:,}")


def _too_many(links: dict[str, object], newest: str) -> bool | None:
    # HDF5 goes on until it is given anything but None. Each level is looked up from the top.
    return len(links) > MOST_LINKS or newest.count("/") > DEEPEST or None


def _bytes(content: h5py.File, name: str, link: object) -> int:
    """Declared bytes of a dataset, 0 of a group; ValueError for what leads to another or lies
    elsewhere.
    """
    found = content[name] if isinstance(link, h5py.HardLink) else None
    if found is None or h5py.h5o.get_info(found.id).rc > 1:
        raise ValueError(f"{name} is a link")
    if not isinstance(found, h5py.Dataset):
        return 0
    if found.external or found.is_virtual:
        raise ValueError(f"the numbers of {name} lie in another file")
    if found.id.get_create_plist().get_nfilters():
        raise ValueError(f"{name} is packed, which Keras' weights never are")
    if found.dtype.kind not in "biufV" or found.dtype.names or found.dtype.hasobject:
        raise ValueError(f"{name} holds no numbers but {found.dtype}")
    return (found.size or 0) * found.dtype.itemsize


def _stored_spec(archive: zipfile.ZipFile, path: Path) -> ModelSpec:
    if ENTRY not in archive.namelist():
        return ModelSpec()
    try:
        return read_spec(archive.read(ENTRY))
    except BAD_ARCHIVE as error:
        raise ModelError(
            f"{path} holds a damaged {ENTRY} ({plain_reason(error)}):"
            " write the model again with keras_kd."
        ) from error
