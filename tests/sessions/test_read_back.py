"""What sessions export, read by the programs that it is for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from drawn_timeline import mostly
from drawn_timeline import write as write_rows

from keras_kd.sessions import _exports, _timeline
from keras_kd.sessions._options import Event, Options, Task

READERS = Path(os.environ.get("KERAKD_READERS", Path(__file__).parents[2] / "build" / "readers"))
pytestmark = pytest.mark.skipif(
    not (READERS / "bin" / "bids-validator-deno").is_file(),
    reason="no readers: `make readers` installs them",
)
SCRIPT = """
import json, sys, webvtt
from pympi import Eaf
folder = sys.argv[1]
cues = [(c.start, c.end, c.text) for c in webvtt.read(folder + "/intervals.vtt")]
eaf = Eaf(folder + "/intervals.eaf")
tiers = {tier: sorted(eaf.get_annotation_data_for_tier(tier)) for tier in eaf.get_tier_names()}
print(json.dumps({"cues": cues, "tiers": tiers}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A session whose tasks overlap, with words that each format writes in its own way."""
    root = tmp_path_factory.mktemp("exports")
    chances = [*mostly("neutral", 10), *mostly("angry", 10), *mostly("happy", 10)]
    chances[50:60] = [np.full(3, np.nan)] * 10
    tasks = (Task(0, 20, "find & <pay>"), Task(15, 30, "Ü --> ‘ask’\tit"))
    options = Options(0.0, tasks=tasks, events=(Event(12.0, "click"), Event(12.5, "error")))
    _exports.write(_timeline.load(write_rows(root / "p1.csv", chances), options), root / "p1")
    return root / "p1"


def test_subtitles_and_annotations_come_back(folder):
    ran = subprocess.run(
        [READERS / "bin" / "python", "-c", SCRIPT, folder], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["tiers"] == {
        "label": [[0, 5000, "neutral"], [6000, 10000, "neutral"], [10000, 20000, "angry"]]
        + [[20000, 30000, "happy"]],
        "task": [[0, 20000, "find & <pay>"]],
        "task 2": [[15000, 30000, "Ü --> ‘ask’\tit"]],
        "event": [[12000, 13000, "click"]],
        "event 2": [[12500, 13500, "error"]],
        "negative": [[10000, 20000, "angry"]],
        "positive": [[20000, 30000, "happy"]],
    }
    cues = {text: (start, end) for start, end, text in found["cues"]}
    assert cues["angry 80%"] == ("00:00:10.000", "00:00:20.000")
    assert cues["* click"] == ("00:00:12.000", "00:00:13.000")
    assert len(found["cues"]) == 4 + 2 + 2


def test_bids_validator_finds_no_error(folder, tmp_path):
    (tmp_path / "README.md").write_text("A study.")
    stated = {"Name": "Study", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (tmp_path / "dataset_description.json").write_text(json.dumps(stated))
    events = tmp_path / "sub-01" / "beh"
    events.mkdir(parents=True)
    for suffix in ("tsv", "json"):
        target = events / f"sub-01_task-test_events.{suffix}"
        target.write_bytes((folder / f"events.{suffix}").read_bytes())
    command = [READERS / "bin" / "bids-validator-deno", "--json", tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    # It has read the events: without their times it complains.
    lines = (events / "sub-01_task-test_events.tsv").read_text().replace("onset", "begin", 1)
    (events / "sub-01_task-test_events.tsv").write_text(lines)
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "onset" in ran.stdout and '"severity":"error"' in ran.stdout
