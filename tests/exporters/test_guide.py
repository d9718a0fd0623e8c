"""The embedding guide: its worked input is run as an app would, and its Python code as it
stands.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from command_line import called
from drawn_film import colour_model

from keras_kd.exporters import _guide_code, guide


@pytest.fixture(scope="module", params=["plain", "values", "app"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return colour_model(folder, with_values=request.param == "values", app=request.param == "app")


def _worked(size):
    """The formula of the text, byte by byte."""
    return [(i * 37 + i // 64 * 11) % 256 for i in range(size)]


def test_the_worked_input_gives_what_the_guide_says_by_position_and_name(model):
    found = guide.facts(model)
    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    image = np.array(_worked(int(np.prod(found.shape))), found.dtype).reshape(1, *found.shape)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    outputs = [
        interpreter.get_tensor(tensor["index"])[0] for tensor in interpreter.get_output_details()
    ]
    # Swift, Dart and C know outputs by their position.
    for expected, values in zip(found.example.values(), outputs, strict=True):
        np.testing.assert_allclose(values, expected, atol=1e-4)
    if found.dtype == "float32":
        means = image[0].mean(axis=(0, 1)) / 25.5
        np.testing.assert_allclose(
            next(v for v in found.example.values() if len(v) == 3), means, atol=1e-3
        )


def test_the_guide_names_the_files_real_tensors(model, capsys):
    assert called("guide", str(model)) == 0
    text, found = capsys.readouterr().out, guide.facts(model)
    height, width, channels = found.shape
    assert f"1 × {height} × {width} × {channels}" in text and "0 r, 1 g, 2 b" in text
    for name in found.outputs:
        assert text.count(name) >= 6
    for language in ("kotlin", "swift", "dart", "c", "python"):
        assert f"```{language}\n" in text
    assert json.loads(re.search(r"```json\n(.*)\n```", text)[1]) == found.example
    assert text.count(f"{height * width * channels}") >= 5


def test_the_guides_python_runs_and_can_fail(model, tmp_path):
    found = guide.facts(model)
    code = _guide_code.python(found)
    wrong = code.replace(
        json.dumps(found.example), json.dumps({name: [9.0] for name in found.example})
    )
    for text, right in ((code, True), (wrong, False)):
        (tmp_path / "check.py").write_text(text)
        done = subprocess.run(
            [sys.executable, str(tmp_path / "check.py")],
            cwd=model.parent,
            capture_output=True,
            text=True,
            env=os.environ,
        )
        assert (done.returncode == 0) is right, done.stderr


def test_files_that_apps_can_not_embed_are_refused(tmp_path, capsys):
    assert called("guide", str(tmp_path / "a.keras")) == 2
    assert "--bundle" in capsys.readouterr().err
