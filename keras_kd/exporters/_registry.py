"""The formats by name: modules of `formats` and of other packages."""

from __future__ import annotations

from types import ModuleType

from keras_kd._common.modules import module as named_module
from keras_kd._common.modules import module_names
from keras_kd._common.modules import summaries as module_summaries
from keras_kd.errors import ExportError
from keras_kd.exporters import formats

ENTRY_POINTS = "keras_kd.formats"  # of other packages, each a module as in `exporters`


def names() -> list[str]:
    """Return the names of all formats, sorted."""
    return module_names(formats, ENTRY_POINTS)


def summaries() -> dict[str, str]:
    """Return what each format is, one line by name, for help."""
    return module_summaries(formats, ENTRY_POINTS)


def litert_names() -> list[str]:
    """Return the names of the formats that write `.tflite`: float32 first, those that round and
    those that need samples last.
    """

    def place(name: str) -> tuple[bool, bool, bool]:
        module = find(name)
        return name != "float32", module.NEEDS_SAMPLES, getattr(module, "ROUNDS", False)

    return sorted((name for name in names() if find(name).SUFFIX == ".tflite"), key=place)


def calibrated_names() -> list[str]:
    """Return the names of the formats whose ranges are set by samples, sorted."""
    return [name for name in names() if find(name).NEEDS_SAMPLES]


def rounding_names() -> list[str]:
    """Return the names of the formats whose answers are compared with Keras' too, sorted."""
    return [name for name in names() if getattr(find(name), "ROUNDS", False)]


def find(format: str) -> ModuleType:
    """Return the module of a format.

    Args:
        format: one of `names()`.

    Returns:
        The module.

    Raises:
        ExportError: there is no such format.
    """
    if format not in names():
        raise ExportError(
            f"Unknown format {format!r}: expected one of {', '.join(names())}; or qat, which needs"
            " training data (`kerakd export --format qat`, keras_kd.exporters.quantization_aware)."
        )
    return named_module(formats, format, ENTRY_POINTS)
