"""Sources of a model to train: an architecture by name, keras.applications, a model file, or a
function of the user.

    B                                          one of `models.names()`
    keras:MobileNetV3Small                     of keras.applications
    net.keras                                  the file's layers, with new weights and a new head;
                                               frozen layers and Normalization keep theirs
    package.module:function, net.py:function   returns a Keras model; its code is run

Such a function may have any of the parameters `num_classes`, `input_shape`, `heads` and `seed`, as
`models.build` has. Its model takes pixels in 0..255 and ends in logits.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import os
import random
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from keras_kd import models
from keras_kd._common import trust
from keras_kd._common.arrays import fingerprint
from keras_kd._common.paths import advice
from keras_kd._common.text import encodable, sides
from keras_kd.errors import ModelError, of_file
from keras_kd.models import _applications, bundles, keras_file, mistaken_files, trusted_modules
from keras_kd.models import heads as model_heads
from keras_kd.models.architectures._parts import Heads
from keras_kd.models.fingerprints import settings
from keras_kd.models.inference import COMPUTE_APART, DEPENDS, depends_on_batch
from keras_kd.models.output_kinds import images_of_noise
from keras_kd.models.spec import ModelSpec
from keras_kd.models.surgery import fine_tuning, weights
from keras_kd.models.surgery.copies import INSTEAD_OF_LAMBDA, layers_sharing_a_weight, of_size
from keras_kd.models.surgery.keras_internals import all_layers

APPLICATIONS = "keras:"
SUFFIXES = (".keras", ".h5", ".hdf5")


def is_file(source: str) -> bool:
    """Whether a source names a model file.

    Args:
        source: the source.

    Returns:
        True for the path of a model file.
    """
    return Path(source).suffix in SUFFIXES


def is_trainable(source: str) -> bool:
    """Whether a source is a new model to train, not a file.

    Args:
        source: the source.

    Returns:
        False for files and for unknown names.
    """
    named = source in models.names() or source in _application_names()
    return named or trust.code(source) is not None


def called(source: str) -> str:
    """Return a source's name for titles, model cards and file names.

    Args:
        source: the source.

    Returns:
        The name, e.g. MobileNetV3Small for keras:MobileNetV3Small.
    """
    if code := trust.code(source):
        module, function = code
        return f"{Path(module).stem if module.endswith('.py') else module}.{function}"
    name = Path(source).stem if is_file(source) else source.removeprefix(APPLICATIONS)
    return encodable(name)


def require_known(option: str, source: str) -> None:
    """Check a source as far as possible before the data are loaded.

    Args:
        option: the option's name for the message.
        source: the source.

    Raises:
        ModelError: there is no such source, or a file of another kind. The message lists the
            possible ones.
    """
    if is_trainable(source) or (is_file(source) and Path(source).is_file()):
        return
    if is_file(source):
        raise ModelError(f"No model at {option}={source!r}: {advice(source)}.")
    if os.path.isfile(bundles.model_file(source)):
        mistaken_files.require_keras(Path(source))
    near = difflib.get_close_matches(source, [*models.names(), *_application_names()], 3)
    hint = f"did you mean {' or '.join(near)}? It" if near else "it"
    raise ModelError(
        f"No architecture is called {option}={source!r}: {hint} can be one of"
        f" {', '.join(models.names())}, keras:NAME of keras.applications, a .keras file,"
        " package.module:function or file.py:function."
    )


def build(
    source: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None = None,
    seed: int | None = None,
    heads: dict[str, int | None] | None = None,
    pretrained: str | None = None,
    loaded: tuple[keras.Model, ModelSpec] | None = None,
) -> keras.Model:
    """Build a model from any source, of which `source` is the text; `loaded` is what a file holds
    and what is said of it, where that is known already. Further arguments: see `models.build`.
    """
    if source in models.names():
        return models.build(source, num_classes, input_shape, dropout, seed, heads, pretrained)
    require_known("source", source)
    wanted = heads or num_classes
    with _seeded(seed):
        if source.startswith(APPLICATIONS):
            name = source.removeprefix(APPLICATIONS)
            return _applications.build(name, wanted, input_shape, dropout, seed, pretrained)
        if pretrained:
            raise ModelError(
                f"Keras offers no weights {pretrained!r} of {source}: leave out --pretrained."
            )
        if is_file(source):
            of_file = loaded or keras_file.load(source)
            model = _of_file(source, wanted, input_shape, seed, of_file)
        else:
            model = _of_function(source, wanted, input_shape, seed)
    if depends_on_batch(model, images_of_noise(input_shape).astype(model.inputs[0].dtype)):
        raise ModelError(
            f"{source} {DEPENDS}, and its file will take one image at a time: {COMPUTE_APART}."
        )
    return model


def content(source: str, heads: Heads, input_shape: tuple[int, int, int]) -> str | None:
    """Return a text that identifies the content of a source, for the name of what is trained from
    it.

    Args:
        source: the source.
        heads: outputs by name, as `models.build` takes them.
        input_shape: height, width and channels.

    Returns:
        The text; None if the name of the source identifies it.

    Raises:
        ModelError: there is no such file, or the function can't be used.
    """
    if is_file(source):
        mistaken_files.require_keras(Path(source))
        return fingerprint([Path(source).read_bytes()])
    code = trust.code(source)
    if code is None:
        return None
    written = trusted_modules.trust(code[0]).__file__
    model = _of_function(source, heads, input_shape, None)
    return fingerprint([Path(written).read_bytes() if written else b"", settings(model)])


def _application_names() -> list[str]:
    return [APPLICATIONS + name for name in _applications.names()]


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Draw the seeds that Keras gives its initializers and dropouts from this one."""
    # Keras draws the seeds that it isn't given from Python's own generator.
    before = random.getstate()
    if seed is not None:
        random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _of_file(
    path: str,
    heads: Heads,
    input_shape: tuple[int, int, int],
    seed: int | None,
    loaded: tuple[keras.Model, ModelSpec],
) -> keras.Model:
    """A file's layers with new weights and a new head."""
    model, spec = loaded
    with of_file(path):
        whole = fine_tuning.with_new_head(model, heads, input_shape, spec.expected_pixels, seed)
    # Clones get new weights from their layers' initializers.
    new = keras.models.clone_model(whole)
    # No training would set those of frozen layers, of Normalization and what LoRA adds to.
    for old, fresh in zip(all_layers(whole), all_layers(new), strict=True):
        if old.weights and not old.trainable_weights:
            weights.put(old.get_weights(), fresh)
        elif getattr(old, "lora_enabled", False):
            weights.put_frozen(old, fresh)
    return new


def _function(source: str) -> Callable:
    module, name = trust.code(source)
    found = getattr(trusted_modules.trust(module), name, None)
    if not callable(found):
        raise ModelError(f"{module} has no function {name!r}: check --student and --teacher.")
    return found


def _of_function(
    source: str, heads: Heads, input_shape: tuple[int, int, int], seed: int | None
) -> keras.Model:
    function = _function(source)
    count = heads if isinstance(heads, int) else max(size or 1 for size in heads.values())
    named = heads if isinstance(heads, dict) else None
    offered = {"num_classes": count, "input_shape": input_shape, "heads": named, "seed": seed}
    parameters = inspect.signature(function).parameters.values()
    unknown = [
        one.name
        for one in parameters
        if one.name not in offered
        and one.default is one.empty
        and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if unknown:
        raise ModelError(
            f"{source} asks for {', '.join(unknown)}: such a function may ask for"
            f" {', '.join(offered)}; give anything else a default."
        )
    arguments = {one.name: offered[one.name] for one in parameters if one.name in offered}
    try:
        model = function(**arguments)
    except Exception as error:  # The user's code raises anything.
        lines = traceback.extract_tb(error.__traceback__)
        file = trusted_modules.trust(trust.code(source)[0]).__file__
        # Keras raises in lines of its own, which the user can't mend.
        own = [one for one in lines if one.filename == file] or lines
        raise ModelError(
            f"{source} raised {type(error).__name__} ({error}) in line {own[-1].lineno}: mend the"
            " function, or set another --image-size if the images are too small for it."
        ) from error
    return _checked(source, model, heads, input_shape)


def _checked(
    source: str, model: Any, heads: Heads, input_shape: tuple[int, int, int]
) -> keras.Model:
    """The model, for images of this size."""
    if not isinstance(model, keras.Model) or not model_heads.computes_its_graph(model):
        raise ModelError(
            f"{source} returned a {type(model).__name__}: return a keras.Model of inputs and"
            " outputs, or a keras.Sequential that begins with keras.Input, without a `call` of its"
            " own."
        )
    if problem := _problem(model, heads, input_shape):
        raise ModelError(f"{source} returned a model that {problem}.")
    if None in model.input_shape[1:]:
        with of_file(source):
            return of_size(model, input_shape, "--image-size")
    return model


def _problem(model: keras.Model, heads: Heads, input_shape: tuple[int, int, int]) -> str | None:
    """Why a model can't be trained on such images, and what to do; None if it can."""
    if len(model.inputs) != 1:
        return f"has {len(model.inputs)} inputs: give it one, the image"
    taken = tuple(model.inputs[0].shape[1:])
    fits = len(taken) == 3 and all(
        one in (None, other) for one, other in zip(taken, input_shape, strict=True)
    )
    if not fits:
        return (
            f"takes {sides(taken)}, and the images are {sides(input_shape)}: let the function"
            " take input_shape, or set --image-size"
        )
    if hidden := [one.name for one in all_layers(model) if isinstance(one, keras.layers.Lambda)]:
        return (
            f"has the Lambda layer {hidden[0]}, whose function no file can hold: "
            + INSTEAD_OF_LAMBDA
        )
    if pair := layers_sharing_a_weight(model):
        return (
            f"has one weight in two layers, {pair[0]} and {pair[1]}, which training would part:"
            " give each its own, or call one layer twice"
        )
    found = model_heads.widths(model)
    if isinstance(heads, int):
        wanted, asked, parameter = {next(iter(found)): heads}, f"{heads} logits", "num_classes"
    else:
        wanted = {name: size or 1 for name, size in heads.items()}
        asked, parameter = f"{wanted} by name", "heads"
    if found != wanted:
        given = ", ".join(f"{name}: {width}" for name, width in found.items())
        return f"gives {given}, and the data ask for {asked}: let the function take {parameter}"
    return _problem_of_numbers(model)


def _problem_of_numbers(model: keras.Model) -> str | None:
    kind = model_heads.output_kind(model)
    if kind in ("probabilities", "sigmoids"):
        return (
            f"ends in {kind}, and the losses take logits: leave the softmax or sigmoid out of its"
            " last layer"
        )
    return None if model.trainable_weights else "has nothing that learns: leave layers trainable"
