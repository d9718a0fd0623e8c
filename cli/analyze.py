"""`kerakd analyze`."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from keras_kd._common.progress import Terminal
from keras_kd.errors import DataError

from . import engine, options, output, sessions, stopping

# What --from takes; the others are for a video or a model.
OF_EXPORTS = {
    "videos",
    "program",
    "out",
    "segments",
    "events",
    "offset",
    "marker",
    "baseline",
    "smooth",
    "confidence",
    "faces",
    "informed",
    "as_json",
}


@options.command("analyze")
@click.argument("videos", metavar="VIDEO...", nargs=-1)
@click.option(
    "--camera",
    metavar="N",
    help="Number of a camera to record instead of videos, until Ctrl-C or --seconds.",
)
@click.option(
    "--from",
    "program",
    type=click.Choice(("openface", "imotions", "facereader")),
    help="The files are this program's exports, which get the same timeline and page.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    metavar="NUMBER",
    help="Stop the recording after this many seconds.",
)
@click.option(
    "--out", metavar="DIR", default="sessions", show_default=True, help="Folder for the results."
)
@sessions.model_options
@click.option(
    "--rate",
    type=click.FloatRange(min=0.01),
    metavar="NUMBER",
    help="Largest number of frames to analyse for each second of video.",
)
@click.option(
    "--segments",
    metavar="FILE.csv",
    help="Tasks of the session, with the columns start_s,end_s,task; or a folder with "
    "NAME.csv for each video.",
)
@click.option(
    "--events",
    metavar="FILE.csv",
    help="Events of the session, with the columns time,name; or a folder as for --segments.",
)
@click.option(
    "--offset",
    type=float,
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds to add to the times of segments and events, e.g. the time in the video "
    "at which a screen recording began.",
)
@click.option(
    "--marker",
    metavar="NAME=TIME",
    help="Event of --events and its time in the video, e.g. clap=0:07. It gives the offset.",
)
@click.option(
    "--baseline",
    metavar="TIME|TASK|median",
    default="10",
    show_default=True,
    help="When the face is at rest: the first seconds of the video, a task by its name, "
    "or the median of the whole session.",
)
@click.option(
    "--smooth",
    type=click.FloatRange(0, 60),
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    help="Length of the averaging window.",
)
@click.option(
    "--face",
    "faces",
    type=int,
    multiple=True,
    metavar="N",
    help="Number of the participant's face; if not given, the largest face is taken.",
)
@click.option(
    "--redact",
    is_flag=True,
    help="Also write redacted.mp4, in which all faces are coarsened. No other frame is stored.",
)
@click.option(
    "--clips",
    is_flag=True,
    help="Also write a clip of each moment worth a look; with --redact its faces are coarsened.",
)
@click.option(
    "--one-person",
    is_flag=True,
    help="One person is filmed: a face that is alone in the picture keeps their number, "
    "whatever happened in between.",
)
@click.option(
    "--informed",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Date on which the people filmed were informed, which the record keeps; see "
    "docs/responsible-use.md.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue a recording that was stopped. A complete recording gets a new timeline.",
)
@options.trust_module
@options.as_json
def command(
    videos: tuple[str, ...],
    camera: str | None,
    program: str | None,
    seconds: float | None,
    out: str,
    confidence: float,
    side: float,
    rate: float | None,
    segments: str | None,
    events: str | None,
    offset: float,
    marker: str | None,
    baseline: str,
    smooth: float,
    faces: tuple[int, ...],
    redact: bool,
    clips: bool,
    one_person: bool,
    informed: datetime | None,
    resume: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Analyse the video of a usability session, task by task.

    The command writes DIR/NAME.csv with one row for each face and frame, and the folder DIR/NAME
    with report.html, tasks.csv, and intervals as csv, JSON lines, WebVTT and for ELAN. It
    needs the extra sessions. Nothing leaves this machine, and no frame is stored. Ask the people
    who are filmed first; see docs/responsible-use.md.

    \b
    Examples:
      kerakd analyze p1.mp4 p2.mp4 --model exports/mine --segments tasks.csv --out A
      kerakd analyze --camera 0 --model exports/mine
      kerakd analyze p1.csv p2.csv --from openface --out B
    """
    if bool(videos) == (camera is not None):
        raise click.UsageError("Give videos, or --camera N.")
    terminal, unread = Terminal(), dict[str, DataError]()
    timeline = engine.load("sessions._options", with_keras=False).Options(
        smooth, confidence, _seconds(baseline), faces
    )
    if program:
        _require_of_exports()
    of_both: dict[str, Any] = {
        "segments": Path(segments) if segments else None,
        "events": Path(events) if events else None,
        "offset": offset,
        "marker": _marker(marker),
        "informed": _date_informed(informed),
        "terminal": terminal,
        "unread": unread,
    }
    if program:
        importing = engine.load("sessions.importing", with_keras=False)
        results = importing.import_sessions(videos, Path(out), program, timeline, **of_both)
        _show(results, unread, len(videos), as_json)
        return
    analysis = engine.loader([asked["model"]])("sessions.analysis")
    recipe = analysis.Recipe(side, rate, f"{asked['detector']} {asked['score']:g}", one_person)
    reader, detector, temperature = sessions.load(asked, out, terminal)
    # A camera's recording is ended by Ctrl-C, and scored then.
    advice = "To go on, give the same command with --resume."
    with stopping.with_advice(advice, insists=camera is None):
        results = analysis.analyze(
            videos or (camera,), Path(out), reader, detector, recipe, timeline,
            camera=camera is not None, seconds=seconds, resume=resume, redact=redact, clips=clips,
            temperature=temperature, **of_both,
        )  # fmt: skip
    _show(results, unread, len(videos), as_json)


def _require_of_exports() -> None:
    """Refuse options that need a video or a model."""
    foreign = [option for name, option in options.typed().items() if name not in OF_EXPORTS]
    if foreign:
        raise click.UsageError(
            f"--from takes another program's exports: leave out {', '.join(foreign)}."
        )


def _show(
    results: dict[str, Any], unread: dict[str, DataError], recordings: int, as_json: bool
) -> None:
    """Show the results, and raise what is to be told of recordings that have none."""
    if results and as_json:
        output.show_json(results)
    elif results:
        output.show_table(_rows(results))
    if unread:
        raise output.refusal(unread, recordings, "recordings")


def _rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    head = ("session", "seconds", "readable %", "uncertain %", "moments", "page")
    rows: list[tuple[str, ...]] = [head]
    for name, result in results.items():
        session = result["session"]
        shares = (
            "–" if session[key] is None else f"{100 * session[key]:.0f}"
            for key in ("valid", "uncertain")
        )
        rows.append(
            (
                name,
                f"{session['seconds']:.0f}",
                *shares,
                _count(session["spikes"]),
                result["report"],
            )
        )
    return rows


def _date_informed(informed: datetime | None) -> date | None:
    if informed and informed.date() > date.today():
        raise click.UsageError(
            "--informed must not be in the future: people are informed before they are filmed."
            f" Received: {informed:%Y-%m-%d}."
        )
    return informed.date() if informed else None


def _marker(text: str | None) -> tuple[str, float] | None:
    if text is None:
        return None
    name, _, time = text.rpartition("=")
    try:
        return name.strip(), engine.load("sessions._options", with_keras=False).seconds(time)
    except ValueError:
        raise click.UsageError(
            f"--marker must be an event's name and a time, as clap=0:07. Received: {text}."
        ) from None


def _count(number: float | None) -> str:
    return "–" if number is None else f"{number:.0f}"


def _seconds(text: str) -> float | str:
    """A time from the start, or the name of a task."""
    try:
        number = engine.load("sessions._options", with_keras=False).seconds(text)
    except ValueError:
        return text
    if number <= 0:
        raise click.UsageError(
            f"--baseline must be a time above 0, or the name of a task. Received: {text}."
        )
    return number
