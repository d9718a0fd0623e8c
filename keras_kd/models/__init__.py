"""Architectures; one module each, found by its name. Every model takes pixels in 0..255 and returns logits.

An architecture's module has

    NAMES                                       the names it builds
    build(name, num_classes, input_shape, ...)  -> keras.Model
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING

from keras_kd.errors import ModelError

if TYPE_CHECKING:
    import keras


@functools.cache
def _modules() -> dict[str, ModuleType]:
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {name: module for module in modules for name in module.NAMES}


def names() -> list[str]:
    """Return the names of all architectures, sorted."""
    return sorted(_modules())


def build(
    name: str,
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (64, 64, 3),
    dropout: tuple[float, float] | None = None,
    seed: int | None = None,
) -> keras.Model:
    """Build an untrained model.

    Args:
        name: one of `names()`, e.g. "B".
        num_classes: number of logits.
        input_shape: height, width, channels (1: gray, repeated to three inside the model; or 3: RGB) of pixels in 0..255.
        dropout: rates of the dropouts between convolutions and between dense layers; None for the paper's.
        seed: of the initial weights and the dropouts; None for fresh ones.

    Returns:
        keras.Model, float (N, height, width, channels) -> logits (N, num_classes).

    Raises:
        ModelError: unknown name or a shape that the architecture can't take.
    """
    if name not in _modules():
        raise ModelError(f"Unknown model {name!r}: expected one of {', '.join(names())}.")
    if num_classes < 2:
        raise ModelError(f"num_classes must be 2 or more. Received: num_classes={num_classes}.")
    return _modules()[name].build(name, num_classes, tuple(input_shape), dropout, seed)
