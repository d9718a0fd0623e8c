"""Models; one module an architecture in `architectures`, found by its name. Every model takes
pixels in 0..255 and returns logits.

An architecture's module has

    NAMES                                                 the names it builds
    INPUT_SHAPE                                           the published one
    build(name, heads, input_shape, dropout, seed)        -> keras.Model; for `heads` see _parts.Heads
    VALUES (optional)                                     names of the continuous values that it is published with
    PRETRAINED, load_pretrained(model) (optional)         names of weights that Keras offers, and their loading
"""

from __future__ import annotations

import functools
from numbers import Integral
from types import ModuleType
from typing import TYPE_CHECKING

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
    """Return the names of the continuous values that an architecture is published with, e.g.
    valence and arousal.
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
    """Build a model, untrained unless `pretrained`.

    Args:
        name: one of `names()`, e.g. "B".
        num_classes: number of logits of a model with one output; not used with `heads`.
        input_shape: height, width, channels (1: gray, repeated to three inside the model; or 3:
            RGB) of pixels in 0..255; None for the published one, (64, 64, 3) for ResEmoteNet and
            its students.
        dropout: rates of the dropouts between convolutions and between dense layers, of which an
            architecture applies those that it has; None for its own, the published ones if there
            are any.
        seed: of the initial weights and the dropouts; None for fresh ones.
        heads: several outputs by name: the number of logits, or None for one linear value, e.g.
            {"expression": 8, "valence": None, "arousal": None}.
        pretrained: "imagenet" for the weights that Keras offers of an architecture, all but its
            heads.

    Returns:
        keras.Model, float (N, height, width, channels) -> logits (N, num_classes), or with `heads`
        a dict of logits (N, classes) and values (N, 1) by name.

    Raises:
        ModelError: unknown name, a shape that the architecture can't take, a value out of its
            range, or weights that Keras doesn't offer or that can't be downloaded.
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
    shape = tuple(input_shape or module.INPUT_SHAPE)
    if len(shape) != 3 or not all(isinstance(size, Integral) and size > 0 for size in shape):
        raise ModelError(
            "input_shape must be height, width and channels, all known. Received:"
            f" input_shape={shape}."
        )
    if dropout is not None and not all(0 <= rate < 1 for rate in dropout):
        raise ModelError(
            f"dropout must be two rates of 0 or more and below 1. Received: dropout={dropout}."
        )
    if pretrained is not None and pretrained not in getattr(module, "PRETRAINED", ()):
        offering = ", ".join(other for other in names() if hasattr(_modules()[other], "PRETRAINED"))
        raise ModelError(
            f"Keras offers no weights {pretrained!r} of {name}: choose one of {offering}, or leave"
            " out --pretrained."
        )
    model = module.build(name, outputs, shape, dropout, seed)
    if pretrained is not None:
        module.load_pretrained(model)
    return model


def _checked(heads: Heads) -> Heads:
    if isinstance(heads, int):
        if heads < 2:
            raise ModelError(f"num_classes must be 2 or more. Received: num_classes={heads}.")
        return heads
    if not heads or any(classes is not None and classes < 2 for classes in heads.values()):
        raise ModelError(
            "heads must name outputs of 2 or more classes, or None for a value. Received:"
            f" heads={heads}."
        )
    return dict(heads)
