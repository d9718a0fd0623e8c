"""`kerakd init`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from . import engine, options, streams


@options.command("init")
@click.argument("data", metavar="DIR")
@click.option("--out", metavar="FILE.toml", help="Where the file goes; DIR.toml if not given.")
def command(data: str, out: str | None) -> None:
    """Write a commented configuration for a folder of images.

    \b
    Example:
      kerakd init photos
      kerakd distill --config photos.toml
    """
    path = Path(out) if out else Path(f"{options.data_name(data)}.toml")
    for text in engine.load("pipelines.start").begin(data, path).splitlines():
        streams.line(text)
    streams.line(f"Written to {path}. Train: kerakd distill --config {shlex.quote(str(path))}")
