"""A timeline's intervals for other programs: csv, JSON lines, WebVTT and ELAN."""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from keras_kd._common import text
from keras_kd._common.files import write_text
from keras_kd.sessions._timeline import NO_FACE, Timeline

# Before subtitles of moments and events.
MARKS = {"negative": "! ", "positive": "+ ", "event": "* "}
EAF = {
    "AUTHOR": "",
    "FORMAT": "3.0",
    "VERSION": "3.0",
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
}
EAF_TYPE = {
    "GRAPHIC_REFERENCES": "false",
    "LINGUISTIC_TYPE_ID": "default-lt",
    "TIME_ALIGNABLE": "true",
}
# Characters that XML 1.0 can't hold.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Seconds that an event is shown where nothing without a length can be.
SHOWN = 1.0


def write(timeline: Timeline, folder: Path) -> None:
    """Write `intervals.csv`, `.jsonl`, `.vtt` and `.eaf` (ELAN), and BIDS' `events.tsv` with its
    `.json`.
    """
    makers: dict[str, Callable[[Timeline], str]] = {
        "csv": _csv,
        "jsonl": _jsonl,
        "vtt": vtt,
        "eaf": elan,
    }
    for suffix, make in makers.items():
        write_text(folder / f"intervals.{suffix}", make(timeline))
    write_text(folder / "events.tsv", bids(timeline))
    write_text(folder / "events.json", json.dumps(BIDS_COLUMNS, indent=2) + "\n")


def records(timeline: Timeline) -> list[dict]:
    """Every label interval, task and spike as start_s, end_s, tier (label, task, event, negative or
    positive), value and probability.
    """
    rows = [
        (interval.start, interval.end, "label", interval.label, interval.chance)
        for interval in timeline.intervals
        if interval.label != NO_FACE
    ]
    rows += [(task.start, task.end, "task", task.name, None) for task in timeline.options.tasks]
    # Subtitles and ELAN know no time before the recording; that such events are there is told.
    rows += [
        (event.time, event.time, "event", event.name, None)
        for event in timeline.options.events
        if event.time >= 0
    ]
    rows += [
        (moment.start, moment.end, moment.kind, moment.label, moment.height)
        for moment in (*timeline.spikes, *timeline.smiles)
    ]
    names = ("start_s", "end_s", "tier", "value", "strength")
    return [
        dict(
            zip(names, (round(start, 3), round(end, 3), tier, value, _rounded(chance)), strict=True)
        )
        for start, end, tier, value, chance in sorted(rows, key=lambda row: row[:3])
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _csv(timeline: Timeline) -> str:
    columns = ["start_s", "end_s", "tier", "value", "strength"]
    return text.csv(pd.DataFrame(records(timeline), columns=columns))


def _jsonl(timeline: Timeline) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records(timeline))


def vtt(timeline: Timeline) -> str:
    """WebVTT subtitles: labels with their probability, and after `!` moments with what negative
    expressions rose by.
    """
    cues = ["WEBVTT\n"]
    for record in records(timeline):
        if record["tier"] == "task":
            continue
        mark = MARKS.get(record["tier"], "")
        chance = _strength(record)
        # An empty line would end the cue.
        value = " ".join(record["value"].split())
        shown = html.escape(f"{mark}{value}{chance}", quote=False)
        cues.append(f"{clock(record['start_s'])} --> {clock(_end(record))}\n{shown}\n")
    return "\n".join(cues)


def _strength(record: dict) -> str:
    """A label's probability; for a moment points of all negative expressions together, which are no
    probability.
    """
    if record["strength"] is None:
        return ""
    if record["tier"] in MARKS:
        points = f"{100 * record['strength']:+.0f} points"
        return f", {record['tier']} expressions {points} against the baseline"
    return f" {record['strength']:.0%}"


def _end(record: dict) -> float:
    return record["end_s"] if record["end_s"] > record["start_s"] else record["start_s"] + SHOWN


def bids(timeline: Timeline) -> str:
    """BIDS events: onset and duration in seconds, trial_type, value and strength, "n/a" where none
    is.
    """
    lines = ["onset\tduration\ttrial_type\tvalue\tstrength"]
    for record in records(timeline):
        value = " ".join(record["value"].split())
        strength = "n/a" if record["strength"] is None else f"{record['strength']:.4f}"
        onset, duration = record["start_s"], round(record["end_s"] - record["start_s"], 3)
        lines.append(f"{onset}\t{duration}\t{record['tier']}\t{value}\t{strength}")
    return "\n".join(lines) + "\n"


BIDS_COLUMNS = {
    "trial_type": {
        "Description": "What the row states.",
        "Levels": {
            "label": "steadied label of the face",
            "task": "part of the session",
            "event": "something that happened",
            "negative": "moment of negative expressions",
            "positive": "moment of positive expressions",
        },
    },
    "value": {"Description": "Label, name of the task or event, or the class that rose most."},
    "strength": {
        "Description": "Of a label its mean probability; of a moment its height above the baseline."
    },
}


def elan(timeline: Timeline) -> str:
    """ELAN's annotation format (EAF 3.0): a tier for labels, tasks, events and each kind of moment.

    Annotations of a tier must not overlap in ELAN; what does stands in a second tier, and so on.
    """
    root = ElementTree.Element("ANNOTATION_DOCUMENT", EAF, DATE=f"{date.today()}T00:00:00+00:00")
    ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    order = ElementTree.SubElement(root, "TIME_ORDER")
    tiers: dict[str, ElementTree.Element] = {}
    ends: dict[str, int] = {}
    for number, record in enumerate(records(timeline), start=1):
        start, end = (round(1000 * time) for time in (record["start_s"], _end(record)))
        name = next(name for name in _lanes(record["tier"]) if ends.get(name, start) <= start)
        ends[name] = end
        tier = tiers.setdefault(name, _tier(name))
        slots = [f"ts{2 * number - 1}", f"ts{2 * number}"]
        for slot, time in zip(slots, (start, end), strict=True):
            slot_ids = {"TIME_SLOT_ID": slot, "TIME_VALUE": str(time)}
            ElementTree.SubElement(order, "TIME_SLOT", slot_ids)
        outer = ElementTree.SubElement(tier, "ANNOTATION")
        ids = {
            "ANNOTATION_ID": f"a{number}",
            "TIME_SLOT_REF1": slots[0],
            "TIME_SLOT_REF2": slots[1],
        }
        annotation = ElementTree.SubElement(outer, "ALIGNABLE_ANNOTATION", ids)
        value = ElementTree.SubElement(annotation, "ANNOTATION_VALUE")
        value.text = _NO_XML.sub(" ", record["value"])
    root.extend(tiers.values())
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", EAF_TYPE)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _lanes(tier: str) -> Iterator[str]:
    """Yield a tier's name and those of the tiers for what overlaps."""
    yield tier
    yield from (f"{tier} {number}" for number in itertools.count(2))


def _tier(name: str) -> ElementTree.Element:
    return ElementTree.Element("TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=name)


def clock(seconds: float) -> str:
    """Return hh:mm:ss.mmm."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"
