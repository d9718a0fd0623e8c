"""Models; one module for each architecture in `architectures`, found by its name. Every model takes
pixels in 0..255 and returns logits.

The module of an architecture has

    NAMES                                                 the names it builds
    INPUT_SHAPE                                           the published one
    build(name, heads, input_shape, dropout, seed)        -> keras.Model, see below
    VALUES (optional)                                     names of its published continuous values
    PRETRAINED, load_pretrained(model) (optional)         names of weights that Keras offers, and
                                                          the function that loads them

`build` takes one of NAMES; the number of classes, or the widths by name (`_parts.Heads`); height,
width and channels of the images; two rates of dropout, 0 or more and below 1, or None; and the seed
of the initial weights and the dropout, or None. The model turns pixels 0..255, float (N, H, W, C),
into logits and values. ModelError: the images are too small, or neither gray nor RGB.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from numbers import Integral
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_kd._common.modules import module as named_module
from keras_kd._common.modules import module_names
from keras_kd.errors import ModelError
from keras_kd.models import architectures

if TYPE_CHECKING:
    import keras

    from keras_kd.models.architectures._parts import Heads


ENTRY_POINTS = "keras_kd.models"  # of other packages, each a module as above


@functools.cache
def _modules() -> dict[str, ModuleType]:
    found = module_names(architectures, ENTRY_POINTS)
    modules = (named_module(architectures, name, ENTRY_POINTS) for name in found)
    return {name: module for module in modules for name in module.NAMES}


def names() -> list[str]:
    """Return the names of all architectures, sorted."""
    return sorted(_modules())


def values(name: str) -> tuple[str, ...]:
    """Return the names of the continuous values with which an architecture is published.

    Args:
        name: one of `names()`.

    Returns:
        The names, e.g. valence and arousal; empty if there are none.
    """
    return getattr(_modules()[name], "VALUES", ())


def build(
    name: str,
    num_classes: int = 7,
    input_shape: tuple[int, int, int] | None = None,
    dropout: tuple[float, float] | None = None,
    seed: int | None = None,
    heads: dict[str, int | None] | None = None,
    pretrained: str | None = None,
) -> keras.Model:
    """Build a model, untrained unless `pretrained` is given.

    Args:
        name: one of `names()`, e.g. "B".
        num_classes: number of logits of a model with one output; not used with `heads`.
        input_shape: height, width and channels of the pixels 0..255: 1 channel for gray, repeated
            to three inside the model, or 3 for RGB. None for the published shape, (64, 64, 3) for
            ResEmoteNet and its students.
        dropout: rates of the dropout between convolutions and between dense layers, 0 or more and
            below 1; an architecture without such a dropout ignores the rate. None for the published
            rates, if there are any.
        seed: seed of the initial weights and the dropout; None for a random one.
        heads: several outputs by name: the number of logits, or None for one linear value, e.g.
            {"expression": 8, "valence": None, "arousal": None}.
        pretrained: "imagenet" for the weights that Keras offers for an architecture, except its
            heads.

    Returns:
        keras.Model that maps float (N, height, width, channels) to logits (N, num_classes), or with
            `heads` to a dict of logits (N, classes) and values (N, 1) by name.

    Raises:
        ModelError: the name is unknown, the architecture can't take the shape, a value is out of
            its range, or Keras does not offer the weights or they can't be downloaded.
    """
    import keras

    if keras.config.image_data_format() != "channels_last":
        raise ModelError(
            "Keras is set to channels first, and all models here take channels last: call "
            "keras.config.set_image_data_format('channels_last'), or change keras.json."
        )
    if name not in _modules():
        raise ModelError(f"Unknown model {name!r}: expected one of {', '.join(names())}.")
    module = _modules()[name]
    outputs = _checked(num_classes if heads is None else heads)
    shape = _shape(module.INPUT_SHAPE if input_shape is None else input_shape)
    seed, rates = _seed(seed), _rates(dropout)
    if pretrained is not None and pretrained not in getattr(module, "PRETRAINED", ()):
        offering = ", ".join(other for other in names() if hasattr(_modules()[other], "PRETRAINED"))
        raise ModelError(
            f"Keras offers no weights {pretrained!r} of {name}: choose one of {offering}, or leave"
            " out --pretrained."
        )
    model = module.build(name, outputs, shape, rates, seed)
    if pretrained is not None:
        module.load_pretrained(model)
    return model


# Below, NumPy's numbers, as of an array's shape or a highest label, become Python's: to Keras' JSON
# they are none.
def _shape(given: Any) -> tuple[int, int, int]:
    sizes = [*given] if np.iterable(given) else []
    if len(sizes) != 3 or not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ModelError(
            "input_shape must be height, width and channels, all known. Received:"
            f" input_shape={given}."
        )
    height, width, channels = map(int, sizes)
    return height, width, channels


def _seed(given: Any) -> int | None:
    if given is not None and not isinstance(given, Integral):
        raise ModelError(f"seed must be a whole number. Received: seed={given!r}.")
    return None if given is None else int(given)


def _rates(given: Any) -> tuple[float, float] | None:
    if given is None:
        return None
    if np.shape(given) != (2,) or not all(0 <= rate < 1 for rate in given):
        raise ModelError(
            f"dropout must be two rates of 0 or more and below 1. Received: dropout={given}."
        )
    return float(given[0]), float(given[1])


def _checked(heads: Heads) -> Heads:
    if not isinstance(heads, Mapping):
        if not _is_class_count(heads):
            raise ModelError(f"num_classes must be 2 or more. Received: num_classes={heads!r}.")
        return int(heads)
    if not heads or not all(count is None or _is_class_count(count) for count in heads.values()):
        raise ModelError(
            "heads must name outputs of 2 or more classes, or None for a value. Received:"
            f" heads={heads}."
        )
    return {name: None if count is None else int(count) for name, count in heads.items()}


def _is_class_count(count: object) -> bool:
    return isinstance(count, Integral) and int(count) >= 2
