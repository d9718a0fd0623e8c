"""The page of a session: one file that opens offline, without a script; every word from outside is
escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from keras_kd.sessions import _charts, _patterns
from keras_kd.sessions._charts import minutes
from keras_kd.sessions._html import NOTICE, document, percent, points, scrolled, table
from keras_kd.sessions._page_notes import _informed, certainty, making
from keras_kd.sessions._summary import summary
from keras_kd.sessions._timeline import SPIKE, SPIKE_SECONDS, UNCERTAIN, Spike, Timeline

# The words of the page for each limit in `_quality.LIMITS`.
WHY_UNREAD = {
    "size": "too small",
    "sharpness": "blurred",
    "contrast": "too little contrast",
    "brightness": "too dark",
    "overexposure": "overexposed",
    "noise": "too noisy",
    "second look": "hardly seen as a face",
    "cover": "eyes or mouth covered",
    "turn": "turned aside",
}


def page(timeline: Timeline, name: str, session: dict[str, Any]) -> str:
    """Return a session's page.

    Args:
        timeline: the session.
        name: of it.
        session: what session.json holds.
    """
    rows = summary(timeline)
    body = [
        f"<h1>{html.escape(name)}</h1>",
        f'<p class="notice">{NOTICE}</p>',
        _informed(session),
        _doubts(timeline),
        _tiles(timeline, rows.iloc[0]),
    ]
    body += ["<h2>Expressions over time</h2>", *_expressions(timeline)]
    body += _values(timeline)
    body += ["<h2>Moments worth a look</h2>", *_moments(timeline, rows.iloc[0]["spikes"], session)]
    body += _events(timeline)
    body += ["<h2>Task by task</h2>", *_tasks(timeline, rows)]
    body += ["<h2>How well the face could be seen</h2>", _quality(timeline)]
    body += ["<h2>How sure to be</h2>", certainty(timeline, session)]
    body += ["<h2>How it was made</h2>", making(session)]
    return document(name, body)


def _count(number: float) -> str:
    return "–" if number != number else f"{number:.0f}"


def _doubts(timeline: Timeline) -> str:
    doubts = [(kind, doubt) for kind, of in timeline.doubts_by_kind.items() for doubt in of]
    return "".join(
        f'<p class="warning"><b>{of}.</b> {html.escape(doubt)}</p>' for of, doubt in doubts
    )


def _tiles(timeline: Timeline, whole: pd.Series) -> str:
    tiles = [
        (minutes(timeline.duration - timeline.times[0]), "length"),
        (percent(whole["found"]), "of the time a face was found"),
        (percent(whole["valid"]), "seen well enough to read"),
        (percent(whole["uncertain"]), "of that uncertain"),
        (_count(whole["spikes"]), "negative moments"),
        (_count(whole["smiles"]), "positive moments"),
    ]
    return (
        '<ul class="tiles">'
        + "".join(f"<li><b>{value}</b>{text}</li>" for value, text in tiles)
        + "</ul>"
    )


def _expressions(timeline: Timeline) -> list[str]:
    if not timeline.class_names:
        return ["<p>The model has no classes.</p>"]
    legend = "".join(
        f"<li>{_patterns.swatch(number)}{html.escape(name)}</li>"
        for number, name in enumerate(_charts.colours(timeline.class_names))
    )
    caption = (
        f"Tasks on top; probabilities, averaged over {timeline.options.smooth:g} s; the steadied"
        " label; moments worth a look. Gaps: no face, or none seen well enough."
    )
    chart = scrolled(_charts.expressions(timeline), "Expressions over time")
    return [
        "<figure><ul"
        f' class="legend">{legend}</ul>{chart}<figcaption>{caption}</figcaption></figure>'
    ]


def _values(timeline: Timeline) -> list[str]:
    names: list[str] = [name for name in ("valence", "arousal") if name in timeline.values]
    pair = {name: timeline.values[name] for name in names}
    if not pair:
        return []
    # Some models have other scales than -1 to 1, e.g. 1 to 9.
    known = np.abs(np.concatenate(list(pair.values())))
    most = max(1.0, np.ceil(np.nanmax(known, initial=0.0) - 1e-6))
    chart = _charts.lines(timeline, pair, -most, most, "Valence and arousal over time")
    found = [f"<h2>{' and '.join(pair).capitalize()}</h2>"]
    found.append(f"<figure>{_lines_legend(pair)}{scrolled(chart, 'Values over time')}</figure>")
    if len(pair) == 2 and most == 1:
        found.append(
            f'<figure class="small">{_charts.circumplex(timeline)}'
            "<figcaption>The way through the session, darker towards its end.</figcaption></figure>"
        )
    return found


def _moments(timeline: Timeline, count: float, session: dict[str, Any]) -> list[str]:
    rule = (
        f"Expressions at least {100 * SPIKE:.0f} points above the baseline for {SPIKE_SECONDS:g} s"
        " or longer: negative ones (anger, disgust, fear, sadness, contempt together), and happy"
        " ones."
    )
    if count != count and not timeline.smiles:
        return [f'<p>Unknown: {_blind(timeline)}. <span class="soft">{rule}</span></p>']
    moments = timeline.moments
    if not moments:
        return [f'<p>None. <span class="soft">{rule}</span></p>']
    rises = {"negative": timeline.negative, "positive": timeline.positive}
    rises = {kind: rise for kind, rise in rises.items() if not np.isnan(rise).all()}
    label = "Rises against the baseline"
    chart = _charts.lines(timeline, rises, -1, 1, label, SPIKE, moments)
    rows = [_moment(number, moment) for number, moment in enumerate(moments, start=1)]
    caption = (
        "<figcaption>The dashed line is the limit; moments are shaded and numbered."
        f" {rule}</figcaption>"
    )
    return [
        f"<figure>{_lines_legend(rises)}{scrolled(chart, label)}{caption}</figure>",
        table(
            ("number", "kind", "at", "for", "peak", "highest, points", "strongest", "task"),
            rows,
            "Moments",
        ),
        *(
            ['<p class="soft">The folder clips holds a clip of each, named by number and kind.</p>']
            if session.get("clips")
            else []
        ),
    ]


def _moment(number: int, moment: Spike) -> tuple[str, ...]:
    length, height = f"{moment.end - moment.start:.1f} s", points(moment.height)
    times = minutes(moment.start), length, minutes(moment.peak)
    return (str(number), moment.kind, *times, height, moment.label, moment.task)


def _lines_legend(names: Iterable[str]) -> str:
    lines = "".join(
        '<li><svg class="key wide" viewBox="0 0 28 14" aria-hidden="true">'
        f'<line class="line{number}" x1="0" x2="28" y1="7" y2="7"/></svg>{html.escape(name)}</li>'
        for number, name in enumerate(names)
    )
    return f'<ul class="legend">{lines}</ul>'


def _events(timeline: Timeline) -> list[str]:
    """What happened, and what the face showed then."""
    if not timeline.options.events:
        return []
    rows = []
    for event in timeline.options.events:
        label = next(
            (one.label for one in timeline.intervals if one.start <= event.time < one.end), ""
        )
        within = timeline.times[0] <= event.time <= timeline.duration
        unknown = "no face read" if within else "outside the recording"
        rows.append((minutes(event.time), event.name, label or unknown))
    return ["<h2>Events</h2>", table(("at", "event", "label then"), rows, "Events")]


def _blind(timeline: Timeline) -> str:
    """Why no moment could be found."""
    if not timeline.valid.any():
        return "at no time was a face seen well enough"
    if timeline.class_names and not timeline.negative_classes:
        return "the model has no negative expressions"
    return (
        "there is no readable baseline to compare with"
        if timeline.class_names
        else "the model has no classes"
    )


def _tasks(timeline: Timeline, rows: pd.DataFrame) -> list[str]:
    labels = [*timeline.class_names, UNCERTAIN]
    keys = [*(f"share_{name}" for name in timeline.class_names), "uncertain"]
    values = list(timeline.values)
    header = [
        "task",
        "length",
        "readable",
        *labels,
        *values,
        "negative",
        "negative moments",
        "a minute",
    ]
    body = []
    for _, row in rows.iterrows():
        interval = (
            ""
            if row["negative_low"] != row["negative_low"]
            else (f" ({points(row['negative_low'])} to {points(row['negative_high'])})")
        )
        body.append(
            (
                str(row["task"]),
                minutes(row["seconds"]),
                percent(row["valid"]),
                *("–" if row[key] != row[key] else f"{100 * row[key]:.0f}" for key in keys),
                *("–" if row[name] != row[name] else f"{row[name]:+.2f}" for name in values),
                points(row["negative"]) + interval,
                _count(row["spikes"]),
                _rate(row),
            )
        )
    note = (
        '<p class="soft">Labels: percent of the time that has one. Negative: mean of negative'
        " expressions above the baseline in points, in brackets its 95 % interval within this"
        " session (blocks of 5 s resampled). Moments a minute of what could be read, in brackets"
        " the exact 95 % interval of such a count. –: nothing could be read there.</p>"
    )
    return [table(header, body, "Task by task"), note]


def _rate(row: pd.Series) -> str:
    """Negative moments a minute, with their interval."""
    rate, low, high = (row[f"spikes_per_minute{end}"] for end in ("", "_low", "_high"))
    return "–" if rate != rate else f"{rate:.1f} ({low:.1f} to {high:.1f})"


def _quality(timeline: Timeline) -> str:
    found = timeline.quality
    rows = [
        ("time with a face", percent(found["found"])),
        ("time seen well enough (quality 0.5 or more)", percent(found["valid"])),
        ("found but not read", _unread(timeline)),
        ("median quality, 0 to 1", _known(found["quality"], ".2f")),
        ("median width of the face", _known(found["width"], ".0f", " pixels")),
        ("median sharpness (0.06 and more is sharp)", _known(found["sharpness"], ".2f")),
        ("frames turned aside", percent(found["turned"])),
        (
            "faces followed",
            ", ".join(f"{n}: {count:,} frames" for n, count in timeline.faces.items()) or "none",
        ),
    ]
    return table(("what", "value"), rows, "How well the face could be seen")


def _unread(timeline: Timeline) -> str:
    shares = timeline.unread.items()
    return (
        ", ".join(f"{WHY_UNREAD.get(limit, limit)} {share:.0%}" for limit, share in shares)
        or "none"
    )


def _known(value: float, form: str, unit: str = "") -> str:
    return "–" if value != value else f"{value:{form}}{unit}"
