"""docs/own-data.md: its commands run one after the other, on small drawn shapes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from command_line import called
from PIL import Image, ImageDraw
from small_network import NETWORK

from keras_kd.errors import OutputError
from keras_kd.pipelines import start

PAGE = (Path(__file__).parents[1] / "docs" / "own-data.md").read_text(encoding="utf-8")


def _draw(root: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for name in ("apple", "pear", "plum"):
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture = Image.new("RGB", (40, 36), tuple(random.integers(0, 90, 3).tolist()))
            x, y = random.integers(2, 12, 2)
            colour = {"apple": (220, 40, 40), "pear": (60, 200, 60), "plum": (90, 60, 220)}[name]
            ImageDraw.Draw(picture).ellipse((x, y, x + 20, y + 20), fill=colour)
            picture.save(root / name / f"{number}.png")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_pages_commands_lead_to_an_app(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAKD_TRUSTED_MODULES", "")
    _draw(tmp_path / "photos", 20)
    (tmp_path / "net.py").write_text(_blocks("python")[0])
    for line in "".join(_blocks("sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "kerakd"
        if arguments[0] == "export":
            # After one epoch rounding decides many answers.
            arguments += ["--min-agreement", "0"]
        if arguments[0] == "distill":
            # Given here, as a file that names code is not trusted.
            arguments += ["--teacher", NETWORK]
            arguments += [] if "--student" in arguments else ["--student", NETWORK]
        assert called(*arguments) == 0, (line, capsys.readouterr().err)
        if arguments[0] == "init":
            _shorten(tmp_path / "photos.toml")
    assert {"model.tflite", "labels.txt", "example.png"} <= {
        file.name for file in (tmp_path / "app").iterdir()
    }
    for card in ("runs/photos/README.md", "app/README.md"):
        text = (tmp_path / card).read_text("utf-8")
        assert "apple" in text and "photos" in text
        assert not re.search(r"emotion|expression|\bfaces?\b", text, re.IGNORECASE), card
    assert Image.open(tmp_path / "app" / "example.png").size == (32, 32)


def _shorten(config: Path) -> None:
    """An epoch of small networks is enough to see that the commands work."""
    text = re.sub(r"epochs = \d+", "epochs = 1", config.read_text("utf-8"))
    config.write_text(text + "views = 1\n", encoding="utf-8")


def test_a_configuration_fits_the_folder_and_replaces_no_other(tmp_path):
    from keras_kd import config

    _draw(tmp_path / "photos", 20)
    text = start.begin(tmp_path / "photos", tmp_path / "photos.toml")
    options = config.load(tmp_path / "photos.toml")
    assert options["image_size"] == 32 and options["augment"] == "crops,jitter"
    assert options["class_weights"] == "none" and options["data"] == str(tmp_path / "photos")
    assert "48 training" in text and "apple, pear, plum" in text
    with pytest.raises(OutputError, match="already exists"):
        start.begin(tmp_path / "photos", tmp_path / "photos.toml")
