"""Weights from and to PyTorch; one module for each architecture or family, found by its name.

FaceRes' weights are read from TensorFlow.js' format, see `_faceres`. A module for PyTorch's has

    NAMES                        the architectures of the family, as in keras_kd.models; the
                                 module's own name first
    MARK                         a key that only its state dicts have
    CLASS_NAMES                  the published order of the classes, by their number, of the
                                 module's own network; its students have their data's order
    build(tensors, input_shape)  the untrained model that fits the arrays' shapes
    slots(model)                 the place of each of the model's weights in the state dict

`tensors` are the state dict's arrays by key. `input_shape` is height, width and channels; None for
the published shape. ModelError: the arrays' widths are none of the known ones, or the model has
other heads than the published code.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import keras
import numpy as np

from keras_kd._common.files import written_whole
from keras_kd._common.modules import module_names
from keras_kd.checkpoints import _faceres, _files, _layouts
from keras_kd.checkpoints._comparison import compare as compare
from keras_kd.errors import ModelError, of_file
from keras_kd.models.spec import ModelSpec
from keras_kd.models.surgery.compaction import expand
from keras_kd.runtimes import labels

SUFFIXES = (".pth", ".pt", ".safetensors")


def _modules() -> list[ModuleType]:
    package = sys.modules[__name__]
    return [importlib.import_module(f"{__name__}.{name}") for name in module_names(package)]


def names() -> list[str]:
    """Return the architectures whose published weights can be read, sorted."""
    return sorted([_faceres.NAME, *(name for module in _modules() for name in module.NAMES)])


def load(
    path: str | Path,
    model: str | None = None,
    num_classes: int | None = None,
    class_names: tuple[str, ...] | None = None,
    input_shape: tuple[int, int, int] | None = None,
) -> tuple[keras.Model, ModelSpec]:
    """Build a Keras model with the weights of a published file; no code in the file is run.

    Args:
        path: faceres.json, a TensorFlow.js graph model with its .bin beside it; or PyTorch's .pth,
            .pt (of either form) or .safetensors: a state dict, bare or under "model_state_dict",
            "state_dict" or "model", with or without the prefix `module.`, of float16, bfloat16,
            float32 or float64.
        model: an architecture of names(), which the file must fit; None recognises it from the
            keys. Widths are recognised from the shapes: "resemotenet" also stands for its students.
        num_classes: number of classes that the file must have; None for any.
        class_names: names in the order of the outputs; None for those in the file or in a list
            beside it (`labels.txt`, `config.json` and others), or for the published order of a
            published network, if there is one for their number.
        input_shape: height, width and channels of pixels in 0..255; None for the architecture's
            own. Normalisation is part of the model.

    Returns:
        The model, and the specification to store with it (see keras_kd.models.keras_file).

    Raises:
        ModelError: the file can't be read, or its keys or shapes are not those of the architecture.
            The message names all of them.
    """
    if Path(path).suffix == ".json":
        return _of_tensorflow_js(path, model, num_classes, class_names, input_shape)
    tensors = _files.read(path)
    module = _module(model, tensors, path)
    with of_file(path):
        built = module.build(tensors, input_shape)
    _layouts.fill(module.slots(built), tensors, path)
    if model not in (None, built.name, module.NAMES[0]):
        raise ModelError(
            f"{path} holds weights of {built.name}, not of {model}: leave the model out, or give"
            " its own."
        )
    published = module.CLASS_NAMES if built.name == module.NAMES[0] else {}
    stored = ModelSpec(_files.class_names(path))
    listed = labels.with_labels(stored, Path(path), class_names).class_names
    given = class_names or listed or published.get(_outputs(built))
    names = _class_names(_outputs(built), num_classes, given, path)
    return built, ModelSpec(names, input_shape=tuple(built.input_shape[1:]))


def _of_tensorflow_js(
    path: str | Path,
    model: str | None,
    num_classes: int | None,
    class_names: tuple[str, ...] | None,
    input_shape: tuple[int, int, int] | None,
) -> tuple[keras.Model, ModelSpec]:
    """A network that ends in features: a start for other trainings, with no classes of its own."""
    if model not in (None, _faceres.NAME):
        raise ModelError(
            f"Of TensorFlow.js' models only {_faceres.NAME} can be read. Received: model={model!r}."
        )
    if num_classes is not None or class_names is not None:
        raise ModelError(
            f"{path} has face features and no classes: leave --classes out, and train a head with "
            "`kerakd teach --start-from`."
        )
    built = _faceres.load(path, input_shape)
    return built, ModelSpec(input_shape=tuple(built.input_shape[1:]))


def state_dict(model: keras.Model) -> dict[str, np.ndarray]:
    """Return a model's weights under the published keys.

    A compact model (see keras_kd.compact) is expanded first.

    Args:
        model: a model of an architecture of names().

    Returns:
        float32 arrays by key, with PyTorch's order of axes.

    Raises:
        ModelError: the architecture has no published form.
    """
    module = next((module for module in _modules() if model.name in module.NAMES), None)
    if module is None:
        raise ModelError(
            f"There is no PyTorch form of {model.name}: expected one of {', '.join(names())}."
        )
    return _layouts.collect(module.slots(expand(model)))


def save(model: keras.Model, path: str | Path, class_names: tuple[str, ...] | None = None) -> None:
    """Write a model's state dict with the published keys.

    Args:
        model: a model of an architecture of names().
        path: .safetensors; or .pth or .pt, which needs PyTorch (the extra `torch`).
        class_names: in the order of the outputs; .safetensors alone holds them.

    Raises:
        ModelError: the architecture has no published form, PyTorch is missing, or the path has
            another suffix.
        OutputError: the file can't be written.
    """
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise ModelError(
            f"PyTorch weights are written to paths ending in {', '.join(SUFFIXES)}. Received:"
            f" {path}."
        )
    tensors = state_dict(model)
    with written_whole(path) as temporary:
        if suffix == ".safetensors":
            _files.write_safetensors(tensors, temporary, class_names)
        else:
            _files.write_torch(tensors, temporary)


def _module(model: str | None, tensors: dict[str, np.ndarray], path: str | Path) -> ModuleType:
    modules = _modules()
    if model is not None:
        found = [module for module in modules if model in module.NAMES]
        if not found:
            raise ModelError(
                f"No published weights are known for {model!r}: expected one of"
                f" {', '.join(names())}."
            )
        return found[0]
    found = [module for module in modules if module.MARK in tensors]
    if not found:
        keys = ", ".join(key[:80] for key in list(tensors)[:3])
        raise ModelError(
            f"{path} holds weights of no known architecture ({keys}, ...): expected"
            f" {', '.join(names())}."
        )
    return found[0]


def _outputs(model: keras.Model) -> int:
    """The number of classes: the width of the only or the widest head."""
    return max(output.shape[-1] for output in model.outputs)


def _class_names(
    outputs: int,
    num_classes: int | None,
    given: tuple[str, ...] | None,
    path: str | Path,
) -> tuple[str, ...] | None:
    if num_classes not in (None, outputs):
        raise ModelError(
            f"{path} is made for {outputs} classes. Received: num_classes={num_classes}."
        )
    if given is None:
        return None
    if len(given) != outputs:
        raise ModelError(
            f"{path} is made for {outputs} classes. Received {len(given)} names:"
            f" {', '.join(given)}."
        )
    return tuple(given)
