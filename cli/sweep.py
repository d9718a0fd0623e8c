"""`kerakd sweep`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from keras_kd import config as configuration
from keras_kd._common.progress import Terminal
from keras_kd._common.text import command_line

from . import engine, options, output, stopping, streams


@options.command("sweep")
@click.option(
    "--vary",
    "texts",
    multiple=True,
    metavar="KEY=VALUES",
    help="Option to vary: KEY=A,B,C to choose from, 'KEY=A;B;C' if the values have commas "
    "('teacher=A;B' is one value, both of them, as of all options that may be given several "
    "times), a TOML list as teacher=['a,b.keras',['C','D']], or KEY=LOW:HIGH or KEY=LOW:HIGH:log "
    "for a range. May be given several times.  [default: the paper's temp=1,2,3,4,5 and "
    "alpha=0.1,0.15,0.2]",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    metavar="N",
    help="Number of students to train, 10,000 at most. If not given, it is every combination of "
    "choices, or 20 with a range.",
)
@click.option(
    "--no-pruning",
    is_flag=True,
    help="Train every student to its last epoch, even if it scores poorly.",
)
@options.from_config(
    *options.DISTILLATION,
    *options.TEACHER_FORM,
    *options.STUDENT_FORM,
    "skip_bad_rows",
    *options.TRAINING,
)
@options.config_file
@click.option(
    "--storage",
    metavar="URL",
    help="URL of a database for processes on several hosts, as Optuna takes it, e.g. "
    "postgresql://USER@HOST/NAME. If not given, it is sweep.db in --out.",
)
@click.option(
    "--out", metavar="DIR", help="Folder for the sweep; sweeps/DATA-STUDENT if not given."
)
@options.trust_module
@options.as_json
def command(
    texts: tuple[str, ...],
    trials: int | None,
    no_pruning: bool,
    config_file: str | None,
    storage: str | None,
    out: str | None,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Train many students and show which options are best.

    The validation images decide which student is best; test images are not used. All combinations
    of choices are tried; with a range, Optuna searches for the best value. All students share the
    teacher and its soft labels. The same command continues a sweep that was stopped. Several
    processes that run the same command share the trials, and the trial of a process that dies is
    run by another. Train the best student with `kerakd distill --config DIR/best.toml`.

    \b
    Examples:
      kerakd sweep --student C
      kerakd sweep --student B --epochs 8 --vary temp=1:6 --vary learning-rate=0.01:0.3:log
      kerakd sweep --student C --vary 'augment=mirror;strong,mirror'
    """
    config = configuration.merged(config_file, options.given(arguments))
    shared = dataclasses.asdict(config)
    folder = Path(out) if out else Path("sweeps") / options.run_name(config.data, config.student)
    sweep = engine.load("pipelines.sweep")
    dimensions = sweep.space(texts or sweep.PAPER)
    with stopping.with_advice("To go on, give the same command again."):
        frame = sweep.sweep(shared, dimensions, folder, trials, not no_pruning, Terminal(), storage)
    if as_json:
        output.show_json(output.records(frame))
        return
    output.show_table(sweep.rows(frame, list(dimensions)))
    if sweep.best(frame) is not None:
        streams.line(f"Picture: {folder / 'sweep.png'}")
        trust = options.trusting(shared)
        best = command_line(["kerakd", "distill", "--config", folder / "best.toml", *trust])
        streams.line(f"Train the best: {best}")
