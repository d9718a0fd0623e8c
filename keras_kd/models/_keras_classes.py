"""The classes and functions of Keras that a model file may name: those that compute, and none that
run code or open files.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import keras
from keras.src import activations as keras_activations
from keras.src import applications, ops
from keras.src.ops.operation import Operation

from keras_kd.models.surgery.keras_internals import is_native_layer

# Parameters that take code. A class of Keras that has one is left out.
_CODE = {
    "body",
    "body_fun",
    "branches",
    "call_fn",
    "cond",
    "f",
    "false_fn",
    "fn",
    "fun",
    "func",
    "function",
    "init_fn",
    "true_fn",
}
# Classes that only others derive from, and those for training on a data set of texts.
_ABSTRACT = {
    "Constraint",
    "Initializer",
    "Layer",
    "Operation",
    "Quantizer",
    "Regularizer",
    "Wrapper",
}
_TRAINING = {"AWQConfig", "AWQDTypePolicy", "GPTQConfig", "GPTQDTypePolicy", "QuantizationConfig"}
_ROOMS = ("constraints", "dtype_policies", "initializers", "quantizers", "regularizers")
_SEEDS = ("keras.random", "SeedGenerator")
MODELS = ("Functional", "Model", "Sequential")
_MODELS = {
    *((module, name) for module in ("keras", "keras.models") for name in MODELS),
    ("keras.src.models.functional", "Functional"), ("keras.src.models.model", "Model"),
    ("keras.src.models.sequential", "Sequential"),
}  # fmt: skip


def _plain(kind: object) -> bool:
    """Whether something is a class whose objects are made from values and other such objects
    alone.
    """
    if not inspect.isclass(kind) or kind.__name__ in _ABSTRACT | _TRAINING:
        return False
    made_or_called = (kind.__init__, getattr(kind, "call", kind.__init__))
    return not any(_CODE & set(inspect.signature(part).parameters) for part in made_or_called)


def _layers() -> Iterator[tuple[str, str]]:
    for name, layer in vars(keras.layers).items():
        if is_native_layer(layer) and _plain(layer) and issubclass(layer, keras.layers.Layer):
            yield "keras.layers", name


def _application_layers() -> Iterator[tuple[str, str]]:
    """The layers that keras.applications defines for itself, as of ConvNeXt."""
    for module in _modules(applications):
        for name, layer in vars(module).items():
            own = getattr(layer, "__module__", None) == module.__name__
            if own and _plain(layer) and issubclass(layer, keras.layers.Layer):
                yield module.__name__, name


def _modules(package: ModuleType) -> list[ModuleType]:
    names = [f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(name) for name in names if not name.endswith("_test")]


def _operations() -> Iterator[tuple[str, str]]:
    for module in [*_modules(ops), keras_activations.activations]:
        for name, operation in vars(module).items():
            own = getattr(operation, "__module__", None) == module.__name__
            if own and _plain(operation) and issubclass(operation, Operation):
                yield module.__name__, name


def _others() -> Iterator[tuple[str, str]]:
    for room in _ROOMS:
        for name, kind in vars(getattr(keras, room)).items():
            if _plain(kind):
                yield f"keras.{room}", name
                # Keras 3 has written dtype policies both ways.
                yield "keras" if room == "dtype_policies" else f"keras.{room}", name


@functools.cache
def classes() -> frozenset[tuple[str, str]]:
    """Return module and name of every class, as Keras writes them.

    Layers, the operations of keras.ops, initializers, regularizers, constraints, dtype policies,
    quantizers, seed generators and the three kinds of models.
    """
    parts = (_layers(), _application_layers(), _operations(), _others(), _MODELS)
    return frozenset({_SEEDS}.union(*parts))


@functools.cache
def names() -> frozenset[str]:
    """Return the classes' names alone."""
    return frozenset(name for _, name in classes())


@functools.cache
def names_without_module() -> frozenset[str]:
    """Return the classes' names as `.h5` files write them, without a module."""
    return frozenset(name for module, name in classes() if not module.startswith("keras.src."))


@functools.cache
def activations() -> frozenset[str]:
    """Return the names of the functions of keras.activations."""
    found = {
        name for name, function in vars(keras.activations).items() if inspect.isfunction(function)
    }
    return frozenset(found - {"deserialize", "get", "serialize"})


@functools.cache
def elementwise() -> frozenset[str]:
    """Return the names of the functions of keras.ops that need one tensor, and no code."""
    return frozenset(name for name, function in vars(keras.ops).items() if _of_one_tensor(function))


def _of_one_tensor(function: object) -> bool:
    if not inspect.isfunction(function):
        return False
    parameters = list(inspect.signature(function).parameters.values())
    required = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    return required == ["x"] and not _CODE & {parameter.name for parameter in parameters}
