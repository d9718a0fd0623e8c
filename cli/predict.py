"""`kerakd predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from keras_kd._common import text
from keras_kd._common.files import require_apart, write_text
from keras_kd._common.progress import Terminal

from . import engine, options, output, sessions


@click.command("predict")
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
@options.trust_module
@options.as_json
def command(
    images: tuple[str, ...],
    csv_path: str | None,
    annotate: str | None,
    redact: bool,
    as_json: bool,
    confidence: float,
    side: float,
    **asked: Any,
) -> None:
    """Find the faces in images and predict their classes and values.

    IMAGES are files, folders or globs. The command needs the extra sessions. Nothing leaves this
    machine.

    \b
    Examples:
      kerakd predict photo.jpg --model exports/mine
      kerakd predict 'photos/*.png' --model student_int8.tflite --csv faces.csv --annotate shown/
    """
    if redact and not annotate:
        raise click.UsageError(
            "--redact changes the pictures of --annotate: add --annotate FOLDER."
        )
    terminal = Terminal()
    photos = engine.load("sessions.photos")
    files = photos.expand(images)
    bundle = engine.load("exporters.bundle")
    require_apart([csv_path], [*files, *bundle.files_of(bundle.model_file(asked["model"]))])
    reader, detector, _ = sessions.load(asked, terminal)
    with terminal.bar("Reading pictures", len(files)) as advance:
        readings = photos.predict(
            files,
            reader,
            detector,
            confidence,
            side,
            Path(annotate) if annotate else None,
            redact,
            advance,
        )
    if csv_path:
        write_text(csv_path, text.csv(photos.table(readings)))
    if as_json:
        records = {
            file: [reading.record() for reading in faces] for file, faces in readings.items()
        }
        output.show_json(
            {"images": [{"file": file, "faces": faces} for file, faces in records.items()]}
        )
        return
    values = reader.value_names
    rows = [("picture", "label", "probability %", *values, "box", "quality")]
    for file, faces in readings.items():
        for reading in faces:
            chance = max(reading.probabilities.values(), default=None)
            rows.append(
                (
                    file,
                    reading.label,
                    "" if chance is None else f"{100 * chance:.1f}",
                    *(f"{reading.values[name]:+.2f}" for name in values),
                    " ".join(f"{value:.0f}" for value in reading.face.box),
                    f"{reading.quality:.2f}",
                )
            )
        if not faces:
            rows.append((file, "no face", "", *("" for _ in values), "", ""))
    output.show_table(rows)
