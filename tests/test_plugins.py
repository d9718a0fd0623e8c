"""The recipes of docs/architecture.md: one module adds a student, a data set, a loss or a format.

They are added by another package here, whose modules are what the recipes ask for and no more.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import QUICK

KERAKD = [sys.executable, "-c", "from keras_kd.cli.main import main; main()"]
REFERENCE = Path(__file__).parents[1] / "docs" / "reference.py"
CONTRACTS = (
    "exporters/test_export_contract.py",
    "datasets/test_datasets.py",
    "test_soft_losses.py",
)
MODULES = {
    "student": """
'''A dense layer.'''
import keras
NAMES = ("tiny",)
INPUT_SHAPE = (8, 8, 3)

def build(name, heads, input_shape, dropout, seed):
    image = keras.Input(input_shape, name="image")
    return keras.Model(image, keras.layers.Dense(heads)(keras.layers.Flatten()(image)), name=name)
""",
    "stripes": """
'''Two classes, flat and striped.'''
import numpy as np
from keras_kd.datasets import Samples
SIZE = 8

def matches(path):
    return False

def load(path, split, skip_bad_rows, size):
    labels = np.arange(40) % 2
    images = np.zeros((40, size, size, 1), np.uint8)
    images[labels == 1, :, ::2] = 255
    return Samples(images, labels, ("flat", "striped"))
""",
    "loss": """
from keras import ops

def loss(labels, teacher, student, temperature):
    return ops.mean((teacher - student) ** 2, axis=-1)
""",
    "weights": """
'''The weights
alone.

More on them.
'''
import numpy as np
SUFFIX, TOLERANCE, NEEDS_SAMPLES, IO = ".npz", 1.0, False, ("float",)

def write(serving, path, images):
    np.savez(path, *serving.model.get_weights())
    return []

def run(path, images):
    raise NotImplementedError
""",
}
ENTRY_POINTS = """
[keras_kd.models]
student = added.student
[keras_kd.datasets]
stripes = added.stripes
[keras_kd.losses]
distance = added.loss
[keras_kd.formats]
weights = added.weights
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """That of a process which finds a package with one of each kind."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "added").mkdir()
    for name, source in {"__init__": "", **MODULES}.items():
        (folder / "added" / f"{name}.py").write_text(source)
    metadata = folder / "added-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    places = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    return {**os.environ, "PYTHONPATH": places, "KERAKD_CACHE": str(folder / "cache")}


# One process for all that needs TensorFlow, which takes seconds to import.
PROGRAM = """
import contextlib, io, json, pathlib, runpy, sys
out, reference, *tests = sys.argv[1:]
import pytest
import keras_kd.models, keras_kd.datasets, keras_kd.exporters, keras_kd.losses
from command_line import called

rooms = keras_kd.models, keras_kd.datasets, keras_kd.exporters
names = [name for room in rooms for name in room.names()] + keras_kd.losses.soft_loss_names()
pages = runpy.run_path(reference)["pages"]().values()
options = "--data stripes --student tiny --teacher tiny --soft-loss distance --epochs 2"
options += " --teacher-epochs 2 --batch-size 8 --augment none --formats float32 --json"
with contextlib.redirect_stdout(io.StringIO()) as scores:
    assert called("distill", *options.split(), "--out", f"{out}/run") == 0
with contextlib.redirect_stdout(io.StringIO()) as listed:
    pytest.main(["--collect-only", "-qm", "slow or not slow", *tests])
found = {"names": names, "pages": " ".join(pages), "tests": listed.getvalue()}
found["scores"] = json.loads(scores.getvalue())
pathlib.Path(out, "found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Names, pages of the docs, scores of a run and tests, where the package is installed."""
    out = tmp_path_factory.mktemp("found")
    tests = [str(Path(__file__).parent / name) for name in CONTRACTS]
    command = [sys.executable, "-c", QUICK + PROGRAM, str(out), str(REFERENCE), *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((out / "found.json").read_text())


def test_what_is_added_is_found_by_the_command_line_and_in_the_docs(
    environment: dict[str, str], found: dict[str, Any]
) -> None:
    assert {"tiny", "stripes", "weights", "distance"} <= set(found["names"])
    command = [*KERAKD, "distill", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "distance" in done.stdout
    for row in (
        "| `stripes` | Two classes, flat and striped. |",
        "| `weights` | The weights alone. |",
    ):
        assert row in found["pages"]
    for row in ("stripes .* Two classes, flat and striped.", "weights .* The weights alone."):
        assert re.search(f"^  {row}$", found["pages"], re.MULTILINE)
    assert re.search(r"--soft-loss [^[]*distance", found["pages"])


def test_what_is_added_is_held_to_the_contracts(found: dict[str, Any]) -> None:
    listed = set(re.findall(r"\[.*\]", found["tests"]))
    assert {"[tiny-weights]", "[stripes]", "[distance]"} <= listed


def test_what_is_added_is_trained_and_scored(found: dict[str, Any]) -> None:
    assert found["scores"]["test"]["n"] == 40
