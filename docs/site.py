"""Writes the API reference, build/site, from the docstrings; a warning is an error."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pdoc

import keras_kd

SITE = Path(__file__).parents[1] / "build" / "site"


def main() -> None:
    """Import what the package loads on first use, then write a page for each module."""
    for name in keras_kd.__all__:
        setattr(keras_kd, name, getattr(keras_kd, name))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="pdoc")
        pdoc.render.configure(docformat="google", footer_text=f"keras_kd {keras_kd.__version__}")
        pdoc.pdoc("keras_kd", "!keras_kd.cli", "!keras_kd._common", output_directory=SITE)
    print(f"{SITE}/index.html")


if __name__ == "__main__":
    main()
