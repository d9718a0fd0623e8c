"""The notes of a page on how reliable its figures are, and how they were made."""

from __future__ import annotations

import html
from typing import Any

from keras_kd.sessions import _baseline
from keras_kd.sessions._html import table
from keras_kd.sessions._timeline import Timeline


def certainty(timeline: Timeline, session: dict[str, Any]) -> str:
    baseline, options = timeline.baseline, timeline.options
    lines = []
    lines.append(_calibration(session, options.confidence))
    lines.append(f"Below {options.confidence:.0%} a label is “uncertain”.")
    lines += [html.escape(doubt) for doubt in timeline.doubts]
    # NaN where no face could be read in the baseline; a reader of values alone has no classes.
    if baseline.size and baseline[0] == baseline[0]:
        shown = ", ".join(
            f"{html.escape(name)} {value:.0%}"
            for name, value in zip(timeline.class_names, baseline, strict=True)
        )
        when = html.escape(_baseline.described(options))
        lines.append(
            f"Baseline, {when}: {shown}. If the person was not at rest then, changes are off by as"
            " much."
        )
    if timeline.quality["valid"] < 0.7:
        lines.append(
            "Less than 70 % of the time could be read: what happened in the rest is unknown."
        )
    lines.append(
        "The model's errors differ with person, light and camera; its card says what it was"
        " tested on."
    )
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _calibration(session: dict[str, Any], confidence: float) -> str:
    """A sentence on whether probabilities mean what they say: calibrated here, in the file, or not
    that it says.
    """
    if session.get("meaning"):
        return html.escape(f"The figures are {session['model_name']}. {session['meaning']}")
    here, in_file = session.get("temperature"), session.get("temperature_in_file")
    if not here and not in_file:
        return (
            "Probabilities are as the model gives them; neither its file nor this analysis"
            " (--calibrate) says that they were calibrated: often they are surer than they"
            " should be."
        )
    how = (
        f"here, temperature {here:.2f}"
        if here
        else f"when the model was exported, temperature {in_file:.2f}"
    )
    return (
        f"Probabilities are calibrated ({how}): on data like the calibration's, {confidence:.0%}"
        f" means right {confidence:.0%} of the time. Your recording is other data."
    )


def making(session: dict[str, Any]) -> str:
    video, recipe = session["video"], session["recipe"]
    name = video.get("name") or f"camera {video.get('camera')}"
    pixels, rate = session.get("pixels"), session.get("frames_a_second")
    made, version = (session.get(key) or "–" for key in ("made", "version"))
    rows = [
        ("people filmed were informed", session.get("informed") or "not noted (--informed DATE)"),
        ("recording", name),
        ("width and height, pixels", " × ".join(map(str, pixels)) if pixels else "–"),
        ("frames a second of the recording", f"{rate:g}" if rate else "–"),
        (
            "frames a second read at most",
            "all" if recipe["rate"] is None else f"{recipe['rate']:g}",
        ),
        ("model", session.get("model_name") or "–"),
        ("model's fingerprint", session["model"]),
        ("detector", str(recipe["detector"])),
        ("crop, in face boxes", "–" if recipe["side"] is None else f"{recipe['side']:g}"),
        ("made on, by keras_kd", f"{made}, {version}"),
    ]
    return table(("what", "value"), rows, "How it was made")


def _informed(session: dict[str, Any]) -> str:
    """Warn where nobody noted that the people filmed were told."""
    if session.get("informed"):
        return (
            '<p class="soft">The people filmed were informed on'
            f" {html.escape(str(session['informed']))}.</p>"
        )
    again = "import the file anew with" if session.get("meaning") else "--resume"
    return (
        '<p class="warning"><b>No notice recorded.</b> Since 2 August 2026 Article 50(3) of'
        " Regulation (EU) 2024/1689 asks to inform those exposed, at the latest at first exposure."
        f" Once they were: {again} --informed DATE.</p>"
    )
