"""A timeline's intervals for other programs: csv, JSON lines, WebVTT and ELAN."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from keras_kd._common import text
from keras_kd._common.files import write_text
from keras_kd.sessions._timeline import NO_FACE, Timeline


def write(timeline: Timeline, folder: Path) -> None:
    """Write `intervals.csv`, `.jsonl`, `.vtt` and `.elan.txt` into the folder."""
    makers: dict[str, Callable[[Timeline], str]] = {
        "csv": _csv,
        "jsonl": _jsonl,
        "vtt": vtt,
        "elan.txt": elan,
    }
    for suffix, make in makers.items():
        write_text(folder / f"intervals.{suffix}", make(timeline))


def records(timeline: Timeline) -> list[dict]:
    """Every label interval, task and spike as start_s, end_s, tier (label, task or negative), value
    and probability.
    """
    rows = [
        (interval.start, interval.end, "label", interval.label, interval.chance)
        for interval in timeline.intervals
        if interval.label != NO_FACE
    ]
    rows += [(task.start, task.end, "task", task.name, None) for task in timeline.options.tasks]
    rows += [
        (spike.start, spike.end, "negative", spike.label, spike.height) for spike in timeline.spikes
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
        mark = "! " if record["tier"] == "negative" else ""
        chance = _strength(record)
        shown = html.escape(f"{mark}{record['value']}{chance}", quote=False)
        cues.append(f"{clock(record['start_s'])} --> {clock(record['end_s'])}\n{shown}\n")
    return "\n".join(cues)


def _strength(record: dict) -> str:
    """A label's probability; for a moment points of all negative expressions together, which are no
    probability.
    """
    if record["strength"] is None:
        return ""
    if record["tier"] == "negative":
        return f", negative expressions {100 * record['strength']:+.0f} points against the baseline"
    return f" {record['strength']:.0%}"


def elan(timeline: Timeline) -> str:
    """Tab-delimited text that ELAN imports: tier, begin, end, duration, annotation."""
    lines = ["Tier\tBegin Time\tEnd Time\tDuration\tAnnotation"]
    for record in records(timeline):
        start, end = record["start_s"], record["end_s"]
        value = " ".join(record["value"].split())
        lines.append(
            f"{record['tier']}\t{clock(start)}\t{clock(end)}\t{clock(end - start)}\t{value}"
        )
    return "\n".join(lines) + "\n"


def clock(seconds: float) -> str:
    """Return hh:mm:ss.mmm."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"
