"""What a type checker sees of the public names in a program of a user's."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import keras
import numpy as np

import keras_kd

student: keras.Model = keras_kd.models.build("B", num_classes=7)
reveal_type(keras_kd.Distiller(student))
reveal_type(keras_kd.export)
samples: keras_kd.Samples = keras_kd.datasets.load("faces", "train")
images: np.ndarray = samples.images
keras_kd.Distiller(student, temperature="3")
"""


def test_public_names_have_types(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--no-strict-optional"]
    root = Path(__file__).parents[1]
    done = subprocess.run([*command, str(program)], cwd=root, capture_output=True, text=True)
    assert 'Revealed type is "keras_kd.distiller.Distiller"' in done.stdout, done.stdout
    assert "ExportReport" in done.stdout
    assert 'incompatible type "str"; expected "float"' in done.stdout
