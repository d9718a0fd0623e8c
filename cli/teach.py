"""`kerakd teach`."""

from __future__ import annotations

from typing import Any

import click

from keras_kd import config as configuration
from keras_kd._common.progress import Terminal

from . import engine, options, stopping, streams


@options.command("teach")
@options.from_config(
    "data",
    "teacher",
    "teacher_epochs",
    *options.TEACHER_FORM,
    "skip_bad_rows",
    *options.TRAINING,
)
@options.config_file
@options.trust_module
@click.option("--out", metavar="DIR", help="Also write teacher.keras to this folder.")
def command(config_file: str | None, out: str | None, **arguments: Any) -> None:
    """Train a teacher and keep it where `kerakd distill` finds it.

    A teacher that was already trained on the same data with the same options is not trained again.
    The same command continues a training that was stopped. The path of the teacher's file is
    printed.

    \b
    Examples:
      kerakd teach --data fer2013.csv --teacher resemotenet --teacher-epochs 12
      kerakd teach --data fer2013.csv --start-from faceres.keras --image-size 96
    """
    config = configuration.merged(config_file, options.given(arguments))
    with stopping.with_advice("To go on, give the same command again."):
        streams.line(str(engine.load("pipelines.teach").teach(config, out, Terminal())))
