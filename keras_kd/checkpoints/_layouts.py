"""The places of a published state dict's arrays in a Keras model, and the order of their axes on
both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_kd.errors import ModelError

CONVOLUTION = (
    2,
    3,
    1,
    0,
)  # PyTorch: outputs, inputs, height, width; Keras: height, width, inputs, outputs
DENSE = (1, 0)
MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Slot:
    """A Keras variable's place in a state dict. Slots of one key share its array along the first
    axis, in order.

    Attributes:
        key: in the state dict.
        variable: in the model.
        axes: of PyTorch's array in Keras' order; None: as they are.
        is_variance: whether its numbers must be 0 or more.
    """

    key: str
    variable: keras.Variable
    axes: tuple[int, ...] | None = None
    is_variance: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """PyTorch's shape."""
        return (
            self.variable.shape
            if self.axes is None
            else tuple(self.variable.shape[i] for i in np.argsort(self.axes))
        )

    @property
    def array(self) -> np.ndarray:
        """The variable's value as PyTorch has it, float32."""
        value = keras.ops.convert_to_numpy(self.variable).astype(np.float32)
        return value if self.axes is None else value.transpose(np.argsort(self.axes))

    def assign(self, array: np.ndarray) -> None:
        """Set the variable from PyTorch's array."""
        self.variable.assign(
            np.asarray(array if self.axes is None else array.transpose(self.axes), np.float32)
        )


@dataclass(frozen=True)
class Constant:
    """An array that state dicts hold though the model doesn't learn it: written, and passed over
    when read.
    """

    key: str
    array: np.ndarray


def of_layer(layer: keras.Layer, prefix: str) -> Iterator[Slot | Constant]:
    """Slots of a convolution, dense or normalising layer under PyTorch's names; none for layers
    without weights.

    Raises:
        ModelError: another layer with weights.
    """
    if isinstance(layer, (layers.Conv2D, layers.Dense)):
        yield Slot(
            f"{prefix}.weight",
            layer.kernel,
            CONVOLUTION if isinstance(layer, layers.Conv2D) else DENSE,
        )
        if layer.use_bias:
            yield Slot(f"{prefix}.bias", layer.bias)
    elif isinstance(layer, (layers.BatchNormalization, layers.LayerNormalization)):
        yield Slot(f"{prefix}.weight", layer.gamma)
        yield Slot(f"{prefix}.bias", layer.beta)
        if isinstance(layer, layers.BatchNormalization):
            yield Slot(f"{prefix}.running_mean", layer.moving_mean)
            yield Slot(f"{prefix}.running_var", layer.moving_variance, is_variance=True)
            # PyTorch's load_state_dict wants it; Keras counts no batches.
            yield Constant(f"{prefix}.num_batches_tracked", np.zeros((), np.int64))
    elif layer.weights:
        raise ModelError(
            f"The layer {layer.name} has no counterpart in the published architecture."
        )


def rows(tensors: dict[str, np.ndarray], key: str, default: int) -> int:
    """Length of an array's first axis; `default` where it is missing (`fill` names it then) or has
    none.
    """
    return tensors[key].shape[0] if key in tensors and tensors[key].ndim else default


def classes(tensors: dict[str, np.ndarray], key: str, default: int, others: int = 0) -> int:
    """Return the number of classes of an output layer's array, less `others` outputs of it.

    Raises:
        ModelError: fewer than 2 or more than MOST_CLASSES.
    """
    count = rows(tensors, key, default + others) - others
    if not 2 <= count <= MOST_CLASSES:
        raise ModelError(f"{key} is made for {count} classes: expected 2 to {MOST_CLASSES:,}.")
    return count


def name_by_width(
    tensors: dict[str, np.ndarray], key: str, names: Mapping[int, str], default: int
) -> str:
    """Name of the model whose first layer is as wide as an array says.

    Raises:
        ModelError: no model in `names` has that width.
    """
    width = rows(tensors, key, default)
    if width not in names:
        known = ", ".join(f"{width} ({name})" for width, name in names.items())
        raise ModelError(f"{key} has {width} outputs: expected one of {known}.")
    return names[width]


def require_one_head(model: keras.Model) -> None:
    """Raise ModelError for a model of several heads, which no published code knows."""
    if isinstance(model.output, dict):
        raise ModelError(
            f"The heads {', '.join(model.output)} have no PyTorch form: only one output of logits"
            " has."
        )


def fill(
    slots: Iterable[Slot | Constant], tensors: dict[str, np.ndarray], path: str | Path
) -> None:
    """Set the variables from a state dict that holds exactly what they need.

    Raises:
        ModelError: keys are missing or left over, shapes or types are wrong, weights are not
            finite, or variances are negative; all are named.
    """
    slots = list(slots)
    expected = _by_key(slots)
    known = expected.keys() | {slot.key for slot in slots}
    problems = [
        ("lacks {}", [key for key in expected if key not in tensors]),
        ("holds {} besides", [key for key in tensors if key not in known]),
        ("has other shapes than needed: {}", list(_wrong_shapes(expected, tensors))),
        (
            "has no floating-point numbers in {}",
            [k for k in expected if k in tensors and not _floating(tensors[k])],
        ),
        (
            "has NaN, infinity or numbers beyond float32 in {}",
            [k for k in expected if k in tensors and not _finite(tensors[k])],
        ),
        (
            "has negative variances in {}",
            [k for k in expected if k in tensors and _negative(expected[k], tensors[k])],
        ),
    ]
    found = [text.format(", ".join(keys)) for text, keys in problems if keys]
    if found:
        raise ModelError(f"{path} {'; it '.join(found)}: give the architecture's own weights.")
    for key, sharing in expected.items():
        ends = np.cumsum([slot.shape[0] for slot in sharing])[:-1]
        for slot, array in zip(sharing, np.split(tensors[key], ends), strict=True):
            slot.assign(array)


def collect(slots: Iterable[Slot | Constant]) -> dict[str, np.ndarray]:
    """The state dict, in the order of the slots."""
    arrays: dict[str, list[np.ndarray]] = {}
    for slot in slots:
        arrays.setdefault(slot.key, []).append(slot.array)
    return {
        key: parts[0] if len(parts) == 1 else np.concatenate(parts) for key, parts in arrays.items()
    }


def _by_key(slots: list[Slot | Constant]) -> dict[str, list[Slot]]:
    grouped: dict[str, list[Slot]] = {}
    for slot in slots:
        if isinstance(slot, Slot):
            grouped.setdefault(slot.key, []).append(slot)
    return grouped


def _wrong_shapes(expected: dict[str, list[Slot]], tensors: dict[str, np.ndarray]) -> Iterator[str]:
    for key, sharing in expected.items():
        shape = (sum(slot.shape[0] for slot in sharing), *sharing[0].shape[1:])
        if key in tensors and tensors[key].shape != shape:
            yield f"{key} {tensors[key].shape} instead of {shape}"


def _floating(array: np.ndarray) -> bool:
    return np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16"


def _finite(array: np.ndarray) -> bool:
    """Whether all numbers are finite in float32; another dtype has its own message."""
    if not _floating(array):
        return True
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32)).all())


def _negative(sharing: list[Slot], array: np.ndarray) -> bool:
    """Whether an array of variances has a number below 0; another dtype has its own message."""
    return (
        _floating(array) and any(slot.is_variance for slot in sharing) and bool((array < 0).any())
    )
