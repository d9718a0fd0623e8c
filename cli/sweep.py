"""`kerakd sweep`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from keras_kd import config as configuration
from keras_kd._common.progress import Terminal

from . import engine, options, output, stopping, streams


@click.command("sweep")
@click.option(
    "--vary",
    "texts",
    multiple=True,
    metavar="KEY=VALUES",
    help="What to vary, any number of times: KEY=A,B,C to choose from, KEY=LOW:HIGH or KEY=LOW:HIGH:log for a range.  "
    "[default: the paper's temp=1,2,3,4,5 and alpha=0.1,0.15,0.2]",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    metavar="N",
    help="Students in all; if not given every choice, or 20.",
)
@click.option("--no-pruning", is_flag=True, help="Train every student to its end, however poor.")
@options.from_config(
    "data",
    "student",
    "teacher",
    "teacher_mirror",
    "votes",
    "unlabeled",
    "unlabeled_share",
    "temperature",
    "alpha",
    "beta",
    "epochs",
    "teacher_epochs",
    "skip_bad_rows",
    *options.TRAINING,
)
@options.config_file
@click.option(
    "--storage",
    metavar="URL",
    help="Database for processes on several hosts, as Optuna takes it, e.g. postgresql://USER@HOST/NAME; sweep.db in "
    "--out if not given.",
)
@click.option("--out", metavar="DIR", help="Folder of the sweep; sweeps/DATA-STUDENT if not given.")
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

    What is best is told by the validation images. Choices are all tried; with a range Optuna looks
    for the best. All students share the teacher and its soft labels. A sweep that was stopped goes
    on when the same command is given again. Given several times at once, the processes share the
    trials; one that dies leaves its trial to the others. Test images are never looked at: train the
    best with `kerakd distill --config DIR/best.toml`.

    \b
    Examples:
      kerakd sweep --student C
      kerakd sweep --student B --epochs 8 --vary temp=1:6 --vary learning-rate=0.01:0.3:log
    """
    config = configuration.merged(config_file, options.given(arguments))
    shared = dataclasses.asdict(config)
    folder = Path(out) if out else Path("sweeps") / options.run_name(config)
    sweep = engine.load("pipelines.sweep")
    dimensions = sweep.space(texts or sweep.PAPER)
    with stopping.with_advice("To go on, give the same command again."):
        frame = sweep.sweep(shared, dimensions, folder, trials, not no_pruning, Terminal(), storage)
    if as_json:
        output.show_json(frame.astype(object).where(frame.notna(), None).to_dict(orient="records"))
        return
    output.show_table(sweep.rows(frame, list(dimensions)))
    if sweep.best(frame) is not None:
        streams.line(f"Picture: {folder / 'sweep.png'}")
        trust = options.trusting(shared)
        streams.line(f"Train the best: kerakd distill --config {folder / 'best.toml'}{trust}")
