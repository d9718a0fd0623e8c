"""Soft labels from several Ray actors, against the same store made in one process."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from command_line import called
from PIL import Image

from keras_kd.teachers import labelling, soft_label_pass, soft_labels
from keras_kd.teachers.soft_labels import Key, image_fingerprint
from keras_kd.teachers.views import Views

# Not imported here: Ray reads its environment when it is, and `labelling` sets that.
MISSING = importlib.util.find_spec("ray") is None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING, reason="needs the extra ray")]
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
VIEWS = Views("crops,mirror,jitter", 50, count=4)
KEY = Key("columns", image_fingerprint(IMAGES), VIEWS.names, ("a", "b", "c"))


class _Teacher:
    """Columns of pixels as logits; notes who is asked, and can be killed once, in the middle of its
    work.
    """

    def __init__(self, notes: Path, mortal: bool) -> None:
        self._notes, self._mortal = notes, mortal

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        (self._notes / f"call-{len(list(self._notes.iterdir()))}-{os.getpid()}").touch()
        if self._mortal and len(list(self._notes.iterdir())) > 8:
            try:
                (self._notes / "killed").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return pixels[:, 3, :3, 0].astype(np.float32) / 7


@pytest.fixture(autouse=True)
def _actors_find_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{root / 'tests'}", prepend=os.pathsep)


def _notes(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_killed_actor_loses_nothing(tmp_path: Path) -> None:
    here, spread, notes = tmp_path / "here", tmp_path / "spread", _notes(tmp_path / "notes")
    soft_label_pass.fill(
        here, KEY, IMAGES, VIEWS, _Teacher(_notes(tmp_path / "other"), False), chunk=9
    )
    done: list[int] = []
    compute = labelling.by_workers(2, spread)
    store = soft_label_pass.fill(
        spread, KEY, IMAGES, VIEWS, _Teacher(notes, True), done.append, chunk=9, compute=compute
    )
    # To the byte, and nothing else is left; all rows once.
    assert _files(spread) == _files(here) and set(_files(spread)) == {"logits.npy", "store.json"}
    assert sum(done) == 200 and store.logits.shape == (50, 4, 3)
    # 23 chunks: two actors, and one in the place of the killed one, whose chunk was computed again.
    calls = [path.name for path in notes.iterdir() if path.name.startswith("call")]
    assert (
        (notes / "killed").exists()
        and len(calls) > 23
        and len({name.split("-")[2] for name in calls}) == 3
    )


def test_actors_import_nothing_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, hit = _notes(tmp_path / "place"), tmp_path / "hit"
    for name in ("keras", "numpy", "pandas", "PIL"):
        (place / f"{name}.py").write_text(f"open({str(hit)!r}, 'a').write({name!r})")
    monkeypatch.chdir(place)
    teacher, spread = _Teacher(_notes(tmp_path / "notes"), False), tmp_path / "spread"
    compute = labelling.by_workers(1, spread)
    soft_label_pass.fill(spread, KEY, IMAGES, VIEWS, teacher, chunk=50, compute=compute)
    assert not hit.exists() and Path.cwd() == place


def test_a_stopped_pass_goes_on_with_workers(tmp_path: Path) -> None:
    here, spread, notes = tmp_path / "here", tmp_path / "spread", _notes(tmp_path / "notes")
    teacher = _Teacher(notes, False)
    soft_label_pass.fill(here, KEY, IMAGES, VIEWS, teacher, chunk=9)

    def stop(views: int) -> None:
        if views:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        soft_label_pass.fill(spread, KEY, IMAGES, VIEWS, teacher, stop, chunk=9)
    before = len(list(notes.iterdir()))
    soft_label_pass.fill(
        spread, KEY, IMAGES, VIEWS, teacher, chunk=9, compute=labelling.by_workers(2, spread)
    )
    assert _files(spread) == _files(here)
    assert len(list(notes.iterdir())) - before == 22  # of 23 chunks


def test_the_command_makes_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 2), ("test", 2)):
        for name in ("one", "two"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (16, 16)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{number}.png")
    common = [
        "--data",
        str(tmp_path / "data"),
        "--teacher",
        "C",
        "--teacher-epochs",
        "1",
        "--image-size",
        "16",
    ]
    for folder, workers in (("here", "1"), ("spread", "2")):
        arguments = ["--soft-labels", str(tmp_path / folder), "--label-workers", workers]
        assert (
            called("teach", *common, "--batch-size", "8", "--precision", "float32", *arguments) == 0
        )
    here, spread = (soft_labels.open_store(tmp_path / folder) for folder in ("here", "spread"))
    assert spread.key == here.key
    # Another number of threads may sum in another order: one unit of float16's last place at most.
    np.testing.assert_allclose(spread.logits, here.logits, rtol=2**-10, atol=2**-14)
    assert json.loads((tmp_path / "spread" / "store.json").read_text())["key"]["views"] == list(
        here.key.views
    )
