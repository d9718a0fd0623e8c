"""The examples and the README's Python run as they stand."""

import re
import runpy
from pathlib import Path

import keras
import pytest
from small_network import network

import keras_kd

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem != "shapes")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    runpy.run_path(str(path))
    assert capsys.readouterr().out


def _built_small(name: str, num_classes: int, input_shape: tuple[int, int, int]) -> keras.Model:
    assert name in keras_kd.models.names()
    return network(num_classes, input_shape)


@pytest.mark.usefixtures("few_faces")
def test_the_readmes_python_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    small = keras_kd.datasets.load("faces", "train")[slice(0, 64)]
    monkeypatch.setattr(keras_kd.datasets, "load", lambda name, split: small)
    network(7, (64, 64, 3)).save(tmp_path / "teacher.keras")
    code = "\n".join(blocks).replace("epochs=10", "epochs=1").replace('"int8"', '"float32"')
    # A student of two convolutions is traced and exported in a quarter of B's time.
    monkeypatch.setattr(keras_kd.models, "build", _built_small)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert isinstance(names["student"], keras.Model) and (tmp_path / "student.tflite").exists()
