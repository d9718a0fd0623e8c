"""`kerakd init`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from . import engine, streams


@click.command("init")
@click.argument("data", metavar="DIR")
@click.option("--out", metavar="FILE.toml", help="Where the file goes; DIR.toml if not given.")
def command(data: str, out: str | None) -> None:
    """Look at a folder of images and write a commented configuration to start from.

    \b
    Example:
      kerakd init photos
      kerakd distill --config photos.toml
    """
    path = Path(out) if out else Path(f"{Path(data).resolve().name}.toml")
    for text in engine.load("pipelines.start").begin(data, path).splitlines():
        streams.line(text)
    streams.line(f"Written to {path}. Train: kerakd distill --config {shlex.quote(str(path))}")
