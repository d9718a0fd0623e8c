"""`kerakd init`."""

from __future__ import annotations

from pathlib import Path

import click

from keras_kd._common.progress import Terminal
from keras_kd._common.text import command_line

from . import engine, options, streams


@options.command("init")
@click.argument("data", metavar="DIR")
@click.option("--out", metavar="FILE.toml", help="Where the file goes; DIR.toml if not given.")
@options.from_config("skip_bad_rows")
def command(data: str, out: str | None, skip_bad_rows: bool | None) -> None:
    """Write a commented configuration for a folder of images.

    \b
    Example:
      kerakd init photos
      kerakd distill --config photos.toml
    """
    path = Path(out) if out else Path(f"{options.data_name(data)}.toml")
    begun = engine.load("pipelines.start").begin(data, path, bool(skip_bad_rows), Terminal())
    for text in begun.splitlines():
        streams.line(text)
    training = command_line(["kerakd", "distill", "--config", path])
    streams.line(f"Written to {path}. Train: {training}")
