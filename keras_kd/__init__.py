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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_kd import (
        checkpoints,
        config,
        datasets,
        errors,
        evaluation,
        exporters,
        losses,
        models,
        pipelines,
        reports,
        reproduction,
        runtimes,
        sessions,
        teachers,
        training,
    )
    from keras_kd._common.allocator import tune_allocator
    from keras_kd.config import Config
    from keras_kd.datasets import Samples
    from keras_kd.distiller import DistillationOrientedSGD, Distiller, FeatureMatch
    from keras_kd.errors import KerasKDError
    from keras_kd.exporters import export
    from keras_kd.models.surgery.compaction import compact, expand

__version__ = "0.1.0"

# Public name: the module that defines it.
_HOMES = {
    "Config": "config",
    "DistillationOrientedSGD": "distiller",
    "Distiller": "distiller",
    "FeatureMatch": "distiller",
    "KerasKDError": "errors",
    "Samples": "datasets",
    "compact": "models.surgery.compaction",
    "expand": "models.surgery.compaction",
    "export": "exporters",
    "tune_allocator": "_common.allocator",
}

__all__ = [
    "Config",
    "DistillationOrientedSGD",
    "Distiller",
    "FeatureMatch",
    "KerasKDError",
    "Samples",
    "__version__",
    "checkpoints",
    "compact",
    "config",
    "datasets",
    "errors",
    "evaluation",
    "expand",
    "export",
    "exporters",
    "losses",
    "models",
    "pipelines",
    "reports",
    "reproduction",
    "runtimes",
    "sessions",
    "teachers",
    "training",
    "tune_allocator",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
