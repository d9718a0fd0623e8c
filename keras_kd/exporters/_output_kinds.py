"""What the numbers of a model's outputs are: by the graph, the user's statement, or the values."""

from __future__ import annotations

import keras
import numpy as np

from keras_kd._common.arrays import evenly
from keras_kd._common.user_warnings import warn
from keras_kd.datasets import Samples
from keras_kd.datasets.images import fitted
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ExportError
from keras_kd.exporters import _samples
from keras_kd.exporters._serving import outputs_by_name
from keras_kd.models import heads, output_kinds
from keras_kd.models.output_kinds import OutputKind

_PROBED_IMAGES = 64  # images that show the kind where the graph does not


def require_statement(stated: str | None) -> None:
    """Refuse what is no kind of outputs.

    Raises:
        ExportError: it is none of `output_kinds.STATED_KINDS`.
    """
    if stated not in (None, *output_kinds.STATED_KINDS):
        raise ExportError(
            f"output must be one of {', '.join(output_kinds.STATED_KINDS)}. Received: {stated!r}."
        )


def kinds_by_output(
    model: keras.Model,
    stated: OutputKind | None,
    pixels: PixelValues,
    images: np.ndarray | None,
    needed: bool,
) -> dict[str, OutputKind]:
    """Return the kind of each output of classes by its name.

    Args:
        model: with known outputs.
        stated: by the user, or None.
        pixels: what the model takes for pixels 0..255.
        images: uint8 (N, H, W, C) of any size; None for random pixels.
        needed: whether logits must be told from probabilities and sigmoids.

    Raises:
        ExportError: the statement contradicts the graph, or neither graph, statement nor values
            say what is needed.
    """
    names = [name for name, width in heads.widths(model).items() if width > 1]
    kinds = {name: heads.output_kind(model, name) for name in names}
    for name, kind in kinds.items():
        if stated not in (None, kind) and kind in output_kinds.STATED_KINDS:
            raise _contradiction(stated, kind, name, model)
        if kind == "probabilities" and heads.takes_softmax_twice(model, name):
            warn(f"{model.name} {output_kinds.TWICE}.")
    unknown = [name for name, kind in kinds.items() if kind == "unknown"]
    if stated is not None:
        return kinds | dict.fromkeys(unknown, stated)
    if not unknown:
        return kinds
    values = outputs_by_name(model, _shown(model, pixels, images))
    for name in unknown:
        kinds[name] = output_kinds.kind_of_values(keras.ops.convert_to_numpy(values[name]))
        if needed and kinds[name] in ("sigmoids", "undecided"):
            raise ExportError(
                output_kinds.unclear(
                    f"of {model.name}{f' in {name!r}' if len(names) > 1 else ''}",
                    "State output='logits' or output='sigmoids' (--output), or use io='float'",
                )
            )
    return kinds


def _contradiction(
    stated: OutputKind | None, shown: OutputKind, name: str, model: keras.Model
) -> ExportError:
    return ExportError(
        f"The output {name} of {model.name} is stated to give {stated}, and its graph gives"
        f" {shown}: leave output={stated!r} out, or end the model accordingly."
    )


def known_of_two_classes(model: keras.Model, stated: OutputKind | None) -> OutputKind | None:
    """Return what the one number of a classifier of two classes is by its graph, else by the user.

    Args:
        model: of one output of one column.
        stated: by the user, or None. The probability of the second class may be called
            "probabilities" or "sigmoids".

    Returns:
        "sigmoids" or "logits"; None where neither says it.

    Raises:
        ExportError: the statement contradicts the graph.
    """
    given = output_kinds.stated_kind(stated, 1)
    shown = heads.output_kind(model)
    if shown not in ("logits", "sigmoids"):
        return given
    if given not in (None, shown):
        raise _contradiction(stated, shown, heads.names(model)[0], model)
    return shown


def of_two_classes(
    model: keras.Model,
    class_names: tuple[str, ...] | None,
    stated: OutputKind | None,
    pixels: PixelValues,
    samples: Samples | np.ndarray | None,
) -> OutputKind | None:
    """Return what the one number of a classifier of two classes is: by its graph, else by the
    user, else, which a warning tells, by its values: where they lie in 0..1, a probability.

    Args:
        model: with known outputs.
        class_names: as far as they are named.
        stated: by the user, or None.
        pixels: what the model takes for pixels 0..255.
        samples: images; None for random pixels.

    Returns:
        "sigmoids": the probability of the second class; "logits": its logit; None for continuous
            values and all other models.

    Raises:
        ExportError: the statement contradicts the graph, or the samples are no images for the
            model.
    """
    if not heads.separates_two_classes(model, class_names):
        return None
    if known := known_of_two_classes(model, stated):
        return known
    shown = _shown(model, pixels, _images(model, pixels, samples))
    (values,) = outputs_by_name(model, shown).values()
    found = keras.ops.convert_to_numpy(values)
    inside = bool(found.min() >= 0 and found.max() <= 1)
    second = class_names[1] if class_names else "the second class"
    warn(
        output_kinds.unclear_number(
            model.name,
            f"on {'random pixels' if samples is None else 'the samples'} it lies in"
            f" {found.min():.3g}..{found.max():.3g}, so it is taken for the"
            f" {'probability' if inside else 'logit'} of {second}; output='logits' or"
            " 'probabilities' (--output) states what it is",
        )
    )
    return "sigmoids" if inside else "logits"


def _images(
    model: keras.Model, pixels: PixelValues, samples: Samples | np.ndarray | None
) -> np.ndarray | None:
    """Some of the samples' images, uint8."""
    if samples is None:
        return None
    given = _samples.checked(samples, model, None)
    images = given if isinstance(given, np.ndarray) else given.images
    return _samples.shown(evenly(images, _PROBED_IMAGES), pixels).images


def _shown(model: keras.Model, pixels: PixelValues, images: np.ndarray | None) -> np.ndarray:
    shape = tuple(model.inputs[0].shape[1:])
    given = (
        output_kinds.images_of_noise(shape)
        if images is None
        else fitted(evenly(images, _PROBED_IMAGES), shape)
    )
    return pixels.of(given).astype(model.inputs[0].dtype)
