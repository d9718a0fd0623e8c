"""`kerakd predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from keras_kd._common import text
from keras_kd._common.files import write_text
from keras_kd._common.progress import Terminal
from keras_kd.errors import DataError

from . import engine, options, output, sessions

# Options that have no meaning for a picture as a whole.
_OF_FACES = ("detector", "score", "side", "redact")


@options.command("predict")
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True)
@sessions.model_options
@click.option("--csv", "csv_path", metavar="FILE", help="Also write all results as csv.")
@click.option(
    "--annotate", metavar="FOLDER", help="Folder for copies of the pictures with boxes and labels."
)
@click.option(
    "--redact",
    is_flag=True,
    help="Coarsen the faces in the pictures of --annotate beyond recognition.",
)
@click.option(
    "--whole",
    is_flag=True,
    help="Read each picture as a whole, without looking for faces: for other classes than faces'.",
)
@options.trust_module
@options.as_json
def command(
    images: tuple[str, ...],
    csv_path: str | None,
    annotate: str | None,
    redact: bool,
    whole: bool,
    as_json: bool,
    confidence: float,
    side: float,
    **asked: Any,
) -> None:
    """Find the faces in images and predict their classes and values.

    IMAGES are files, folders or globs. To find faces the command needs the extra sessions. Nothing
    leaves this machine.

    \b
    Examples:
      kerakd predict photo.jpg --model exports/mine
      kerakd predict 'photos/*.png' --model student_int8.tflite --csv faces.csv --annotate shown/
      kerakd predict new/ --model app --whole
    """
    _refuse_strays(annotate, redact, whole)
    terminal = Terminal()
    load = engine.loader([asked["model"]])
    photos = load("sessions.photos")
    files = photos.expand(images)
    bundle = load("exporters.bundle")
    read = bundle.files_of(bundle.model_file(asked["model"]))
    apart = load("pipelines.apart_from_data")
    apart.require_apart([csv_path], [*files, *read], asked["calibrate"])
    reader, detector, _ = sessions.load(asked, annotate, terminal, whole)
    unread: dict[str, DataError] = {}
    shown = Path(annotate) if annotate else None
    with terminal.bar("Reading pictures", len(files)) as advance:
        readings = photos.predict(
            files, reader, detector, confidence, side, shown, redact, advance, unread
        )
    if len(unread) == len(files):
        raise output.refusal(unread, len(files), "pictures")
    if csv_path:
        write_text(csv_path, text.csv(photos.table(readings, unread)))
    if as_json:
        output.show_json({"images": _records(readings, unread)})
    else:
        output.show_table(_rows(readings, reader.value_names, whole, unread))
    if unread:
        raise output.refusal(unread, len(files), "pictures")
    if not (as_json or whole or any(readings.values())):
        terminal.say("No face was found: for a model whose classes are not of faces, add --whole.")


def _refuse_strays(annotate: str | None, redact: bool, whole: bool) -> None:
    """Refuse options that the others would leave unused."""
    if redact and not annotate:
        raise click.UsageError(
            "--redact changes the pictures of --annotate: add --annotate FOLDER."
        )
    given = [option for name, option in options.typed().items() if name in _OF_FACES]
    if whole and given:
        raise click.UsageError(f"--whole looks for no faces: leave out {' and '.join(given)}.")


def _records(readings: dict[str, list[Any]], unread: dict[str, DataError]) -> list[dict[str, Any]]:
    return [
        {
            "file": file,
            "faces": [reading.record() for reading in faces],
            **({"error": str(unread[file])} if file in unread else {}),
        }
        for file, faces in readings.items()
    ]


def _rows(
    readings: dict[str, list[Any]],
    values: Sequence[str],
    whole: bool,
    unread: dict[str, DataError],
) -> list[tuple[str, ...]]:
    rows = [("picture", "label", "probability %", *values, *(() if whole else ("box", "quality")))]
    for file, faces in readings.items():
        for reading in faces:
            chance = max(reading.probabilities.values(), default=None)
            row = (
                file,
                reading.label,
                "" if chance is None else f"{100 * chance:.1f}",
                *(f"{reading.values[name]:+.2f}" for name in values),
            )
            if not whole:
                box = " ".join(f"{value:.0f}" for value in reading.face.box)
                row = (*row, box, f"{reading.quality:.2f}")
            rows.append(row)
        if not faces:
            what = "can't be read" if file in unread else "no face"
            rows.append((file, what, *("" for _ in rows[0][2:])))
    return rows
