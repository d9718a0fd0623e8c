"""`kerakd distill`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click

from keras_kd import config as configuration
from keras_kd._common import hosts, run_files
from keras_kd._common.progress import Terminal
from keras_kd._common.text import command_line
from keras_kd.reports.summary import summary_rows

from . import engine, options, output, stopping, streams


@options.command("distill")
@options.from_config(
    *options.DISTILLATION,
    "baseline",
    *options.TEACHER_FORM,
    *options.STUDENT_FORM,
    "formats",
    "skip_bad_rows",
    *options.TRAINING,
    "hosts",
)
@options.config_file
@click.option(
    "--out",
    metavar="DIR",
    help="Folder for the run. If not given, it is runs/DATA-STUDENT, with a number if that exists.",
)
@click.option("--resume", is_flag=True, help="Continue the run that was stopped in --out.")
@options.trust_module
@options.as_json
def command(
    config_file: str | None, out: str | None, resume: bool, as_json: bool, **arguments: Any
) -> None:
    """Train a small student from a large teacher; export and score it.

    \b
    Examples:
      kerakd distill --student B --temp 3 --alpha 0.15
      kerakd distill --student C --data fer2013.csv --out runs/c
      kerakd distill --resume --out runs/c
    """
    if resume and out is None:
        raise click.UsageError("--resume needs --out, the folder of the run to go on with.")
    if resume and config_file is None and out is not None and Path(out, run_files.OPTIONS).exists():
        config_file = str(Path(out, run_files.OPTIONS))
    config = configuration.merged(config_file, options.given(arguments))
    if config.hosts > 1 and out is None:
        raise click.UsageError("--hosts needs --out, a folder that all hosts see.")
    if config.hosts > 1 and hosts.place(config.hosts).number > 0:
        engine.load("pipelines.joint").follow(config.hosts, Path(out or ""))
        streams.line("Trained; process 0 scores and exports the student.")
        return
    name = options.run_name(config.data, config.student)
    folder = Path(out) if out else _numbered(Path("runs") / name)
    typed = command_line(["kerakd", *sys.argv[1:]])
    trust = options.trusting(dataclasses.asdict(config))
    again = command_line(["kerakd", "distill", "--resume", "--out", folder, *trust])
    with stopping.with_advice(f"To go on: {again}"):
        metrics = engine.load("pipelines.distill").distill(
            config, folder, Terminal(), resume, typed
        )
    if as_json:
        output.show_json(metrics)
    else:
        output.show_table(summary_rows(metrics))
        streams.line(f"Model card: {folder / run_files.CARD}")


def _numbered(folder: Path) -> Path:
    candidates = (
        folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        for number in range(1, 10_000)
    )
    return next(candidate for candidate in candidates if not candidate.exists())
