"""`kerakd rerun`."""

from __future__ import annotations

from pathlib import Path

import click

from keras_kd._common.progress import Terminal
from keras_kd._common.text import command_line

from . import engine, options, output, stopping, streams


@options.command("rerun")
@click.argument("folder", metavar="RUN")
@click.option("--out", metavar="DIR", help="Folder for the new run; RUN-again if not given.")
@options.trust_module
@options.as_json
def command(folder: str, out: str | None, as_json: bool) -> None:
    """Repeat a finished run and list the differences.

    The command compares versions, data, teacher, weights and the scores on the test images. A
    teacher that is in the cache is not trained again.

    \b
    Example:
      kerakd rerun runs/faces-B
    """
    whole = Path(folder).resolve()
    new = out or str(whole.parent / f"{whole.name}-again")
    to_end = command_line(["kerakd", "distill", "--resume", "--out", new])
    with stopping.with_advice(f"To end the new run, without the comparison: {to_end}"):
        result = engine.load("pipelines.rerun").rerun(folder, new, Terminal())
    if as_json:
        output.show_json(result)
        return
    if result["differences"]:
        rows = [("what", "then", "now")]
        rows += [
            (name, _shown(then), _shown(now)) for name, (then, now) in result["differences"].items()
        ]
        output.show_table(rows)
    streams.line(
        "Data, teacher and weights are the same."
        if result["equal"]
        else "It is not the same model."
    )


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
