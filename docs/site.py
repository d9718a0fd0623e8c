"""Writes the API reference, build/site, from the docstrings; a warning is an error."""

from __future__ import annotations

import importlib
import os
import pkgutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pdoc

import keras_kd

SITE = Path(__file__).parents[1] / "build" / "site"


def main() -> None:
    """Import what modules load on first use, then write a page for each of them."""
    for module in [keras_kd, *_modules()]:
        for name in getattr(module, "__all__", ()):
            setattr(module, name, getattr(module, name))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="pdoc")
        pdoc.render.configure(docformat="google", footer_text=f"keras_kd {keras_kd.__version__}")
        pdoc.pdoc("keras_kd", "!keras_kd.cli", "!keras_kd._common", output_directory=SITE)
    print(f"{SITE}/index.html")


def _modules() -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(keras_kd.__path__, "keras_kd."):
        if "._" not in module.name and not module.name.startswith("keras_kd.cli"):
            yield importlib.import_module(module.name)


if __name__ == "__main__":
    main()
