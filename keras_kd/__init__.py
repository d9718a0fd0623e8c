"""Distil a large image model into a small one that an app can trust.

    import keras_kd

    student = keras_kd.models.build("B", num_classes=7)
    distiller = keras_kd.Distiller(student, teacher, temperature=3, alpha=0.15)
    distiller.compile("adam", metrics=["accuracy"])
    distiller.fit(images, labels)
    keras_kd.export(student, "student.tflite")

Names are imported when first used: `import keras_kd` alone loads neither Keras nor TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name: the module that defines it.
_HOMES = {
    "Config": "config",
    "Distiller": "distiller",
    "FeatureMatch": "distiller",
    "KerasKDError": "errors",
    "Samples": "datasets",
    "compact": "compaction",
    "expand": "compaction",
    "export": "exporters",
}
_MODULES = (
    "bundle", "calibration", "checkpoints", "class_names", "config", "datasets", "errors", "exporters", "losses",
    "metrics", "models", "predictors", "quantisation_aware", "report", "run", "saved", "soft_labels", "training",
    "tuning", "views",
)  # fmt: skip

__all__ = ["__version__", *sorted([*_HOMES, *_MODULES])]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
