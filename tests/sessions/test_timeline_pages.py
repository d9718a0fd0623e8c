"""A session's page is safe and whole; its files of intervals and events say the same."""

from __future__ import annotations

import csv
import dataclasses
import json
import xml.etree.ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from drawn_timeline import mostly
from drawn_timeline import write as write_rows

from keras_kd.sessions import _charts, _exports, _page, _timeline
from keras_kd.sessions._options import Event
from keras_kd.sessions._timeline import Options, Task

EVIL = "<img src=x onerror=alert(1)> & --> \t\"'"
SESSION = {
    "video": {"name": EVIL},
    "model": "0123",
    "recipe": {"detector": "auto 0.5", "side": 1.17, "rate": None},
    "temperature": None,
}


class Page(HTMLParser):
    """The tags, attributes and words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def timeline(tmp_path):
    chances = [*mostly("neutral", 10), *mostly("happy", 10), *mostly("angry", 20)]
    chances[50:60] = [np.full(3, np.nan)] * 10
    seconds = np.arange(400) / 10
    values = {"valence": np.sin(seconds), "arousal": np.cos(seconds)}
    tasks = (Task(0, 10, "rest"), Task(10, 20, EVIL), Task(20, 40, "pay"))
    return _timeline.load(
        write_rows(tmp_path / "a.csv", chances, values=values), Options(0.0, 0.5, "rest", (), tasks)
    )


def test_the_page_holds_everything_and_runs_and_loads_nothing(timeline):
    text = _page.page(timeline, EVIL, SESSION)
    page = Page(text)
    assert not {"script", "img", "link", "iframe", "object", "form", "a"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert not {"src", "href", "srcset", "action"} & names and not any(
        name.startswith("on") for name in names
    )
    assert (
        "http" not in text.replace("http-equiv", "")
        and "url(" not in text.replace("url(#class", "")
        and "@import" not in text
    )
    assert "default-src 'none'" in dict(page.attributes)["content"] or "default-src 'none'" in text
    words = " ".join(page.words)
    assert words.count(EVIL.strip()) >= 3
    for word in (
        "happy",
        "Moments worth a look",
        "Valence and arousal",
        "How sure to be",
        "says that they were calibrated",
        "pay",
    ):
        assert word in words
    # Timeline, values, circumplex, moments; swatches of four labels, two values and two rises.
    assert page.tags.count("svg") == 4 + 8
    for part in text.split("<svg")[1:]:
        xml.etree.ElementTree.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")


def test_tasks_that_overlap_are_drawn_one_above_the_other(tmp_path):
    tasks = Task(0, 20, "all"), Task(2, 6, "first"), Task(6, 12, "next"), Task(5, 9, "both")
    tasks += (Task(50, 60, "beyond"),)
    rows = write_rows(tmp_path / "a.csv", mostly("neutral", 20))
    chart = xml.etree.ElementTree.fromstring(
        _charts.expressions(_timeline.load(rows, Options(tasks=tasks)))
    )
    drawn = [one for one in chart.iter("rect") if one.get("class", "").startswith("task")]
    boxes = {
        one.find("title").text.split(":")[0]: [float(one.get(name)) for name in ("x", "width", "y")]
        for one in drawn
    }
    assert {name: y for name, (_, _, y) in boxes.items()} == {
        "all": 4,
        "first": -22,
        "next": -22,
        "both": -48,
    }
    # 930 pixels are 20 s.
    assert boxes["both"][:2] == pytest.approx([60 + 5 * 46.5, 4 * 46.5], abs=0.1)
    assert chart.get("viewBox") == "0 -52 1000 384"


def test_the_circumplex_shows_the_way_in_its_plane(timeline):
    from keras_kd.sessions import _charts

    root = xml.etree.ElementTree.fromstring(_charts.circumplex(timeline))
    way = [line for line in root if line.get("class") == "way"]
    # Valence sin t, arousal cos t: a circle of radius 150 pixels around 180, begun at the top.
    x, y = float(way[0].get("x1")), float(way[0].get("y1"))
    assert (x, y) == pytest.approx((180, 30), abs=25)
    radii = [np.hypot(float(line.get("x1")) - 180, float(line.get("y1")) - 180) for line in way]
    assert max(radii) < 151 and np.median(radii) > 145


def test_values_of_another_scale_are_drawn_on_it(timeline, tmp_path):
    assert "Values over time" in (page := _page.page(timeline, "a", SESSION))
    assert page.count('<figure class="small">') == 1 and ">+1</text>" in page
    # Valence from 1 to 9.
    values = {"valence": np.linspace(1, 8.6, 200), "arousal": np.full(200, 5.0)}
    path = write_rows(tmp_path / "b.csv", mostly("neutral", 20), values=values)
    page = _page.page(_timeline.load(path, Options(0.0)), "b", SESSION)
    assert '<figure class="small">' not in page and ">+9</text>" in page
    chart = page[page.index('aria-label="Valence and arousal over time"') :].partition("</svg>")[0]
    (points,) = [one.partition('"')[0] for one in chart.split('points="')[1:] if ">valence<" in one]
    heights = [float(point.split(",")[1]) for point in points.split()]
    # 9 is at 10 and -9 at 150 pixels: none is cut off at the top.
    assert heights[0] == pytest.approx(80 - 70 / 9, abs=1)
    assert heights[-1] == pytest.approx(80 - 70 * 8.6 / 9, abs=1)


def test_a_page_without_classes_baseline_or_face_says_so(tmp_path):
    chances = [np.full(3, np.nan)] * 20
    nobody = _timeline.load(write_rows(tmp_path / "a.csv", chances), Options())
    words = " ".join(Page(_page.page(nobody, "a", SESSION)).words)
    assert "no readable face in the baseline" in words and "0 %" in words
    assert "Unknown: at no time was a face seen well enough" in words and "None." not in words


@pytest.mark.parametrize(
    ("stored", "word"),
    [
        ({}, "neither its file nor this analysis"),
        ({"temperature": 1.5}, "calibrated (here, temperature 1.50)"),
        (
            {"temperature_in_file": 1.365},
            "calibrated (when the model was exported, temperature 1.36)",
        ),
    ],
)
def test_the_page_says_whether_probabilities_are_calibrated(timeline, stored, word):
    assert word in " ".join(Page(_page.page(timeline, "a", SESSION | stored)).words)


def test_a_calibrated_bundle_says_so_itself():
    from keras_kd.evaluation import calibration

    assert (
        calibration.stated(b"..." + calibration.statement(1.3654, 3589).encode() + b"\0") == 1.365
    )
    assert calibration.stated(b"Calibrated? No.") is None


def test_intervals_in_all_forms_say_the_same(timeline, tmp_path):
    _exports.write(timeline, tmp_path / "out")
    files = {path.name: path.read_text("utf-8") for path in (tmp_path / "out").iterdir()}
    assert set(files) == {
        *(f"intervals.{suffix}" for suffix in ("csv", "jsonl", "vtt", "eaf")),
        *("events.tsv", "events.json"),
    }
    records = [json.loads(line) for line in files["intervals.jsonl"].splitlines()]
    rows = list(csv.DictReader(files["intervals.csv"].splitlines()))
    assert [row["value"] for row in rows] == [record["value"] for record in records]
    assert [
        (record["start_s"], record["end_s"], record["value"])
        for record in records
        if record["tier"] == "label"
    ] == [
        (0, 5, "neutral"),
        (6, 10, "neutral"),
        (10, 20, "happy"),
        (20, 40, "angry"),
    ]
    root = xml.etree.ElementTree.fromstring(files["intervals.eaf"])
    slots = {
        slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")
    }
    made = [
        (
            tier.get("TIER_ID"),
            slots[one.get("TIME_SLOT_REF1")],
            slots[one.get("TIME_SLOT_REF2")],
            one.findtext("ANNOTATION_VALUE"),
        )
        for tier in root.iter("TIER")
        for one in tier.iter("ALIGNABLE_ANNOTATION")
    ]
    assert len(made) == len(records) and ("task", 20_000, 40_000, "pay") in made


def test_events_follow_bids(timeline):
    """BIDS 1.10, "Task events": onset and duration first, in seconds; n/a where nothing is
    known.
    """
    header, *lines = (line.split("\t") for line in _exports.bids(timeline).splitlines())
    assert header[:3] == ["onset", "duration", "trial_type"]
    assert all(len(line) == 5 and float(line[0]) >= 0 and float(line[1]) >= 0 for line in lines)
    kinds = {line[2] for line in lines}
    assert (
        kinds
        == {"label", "task", "negative", "positive"}
        <= set(_exports.BIDS_COLUMNS["trial_type"]["Levels"])
    )
    assert {line[4] for line in lines if line[2] == "task"} == {"n/a"}
    assert [float(line[0]) for line in lines] == sorted(float(line[0]) for line in lines)


def test_subtitles_are_webvtt(timeline):
    text = _exports.vtt(timeline)
    blocks = text.strip().split("\n\n")
    assert blocks[0] == "WEBVTT"
    for block in blocks[1:]:
        timing, *lines = block.split("\n")
        start, arrow, end = timing.split(" ")
        assert arrow == "-->" and len(start) == len(end) == 12 and start < end and len(lines) == 1
    assert "00:00:10.000 --> 00:00:20.000\nhappy 80%" in text
    assert "! angry, negative expressions +70 points against the baseline" in text


def test_events_before_the_recording_and_of_several_lines_break_no_file(timeline, tmp_path):
    events = Event(-70.0, "early"), Event(5.0, "one\n\ntwo")
    options = dataclasses.replace(timeline.options, events=events)
    with_events = dataclasses.replace(timeline, options=options)
    (block,) = [one for one in _exports.vtt(with_events).split("\n\n") if "* " in one]
    assert block == "00:00:05.000 --> 00:00:06.000\n* one two"
    assert "early" not in _exports.vtt(with_events) + _exports.bids(with_events)
    assert 'TIME_VALUE="-' not in _exports.elan(with_events)
    page = _page.page(with_events, "p1", SESSION)
    words = " ".join(Page(page).words)
    assert "-1:10 early outside the recording" in " ".join(words.split())
    # Flags stand in the chart where it has the time.
    assert page.count('class="flag"') == 1


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3723.5, "01:02:03.500")]
)
def test_clock(seconds, shown):
    assert _exports.clock(seconds) == shown
