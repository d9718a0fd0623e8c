"""`kerakd report`."""

from __future__ import annotations

import click

from keras_kd._common.progress import Terminal

from . import engine, options, output, streams


@options.command("report")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--paper",
    is_flag=True,
    help="Write the tables of the Mini-ResEmoteNet paper beside the figures of these runs.",
)
@click.option(
    "--out",
    metavar="DIR",
    help="Folder for README.md and the pictures of --paper.  [default: paper]",
)
@click.option(
    "--measure",
    is_flag=True,
    help="First measure size, memory and time of each model for Table V, which takes minutes.",
)
@options.as_json
def command(
    runs: tuple[str, ...], paper: bool, out: str | None, measure: bool, as_json: bool
) -> None:
    """Compare finished runs, and write the paper's tables.

    RUN is a run folder or a folder of run folders; their weights are not needed. With --paper, the
    command writes Tables II to VI and the confusion matrices of arXiv 2501.18538: the paper's
    value, our value, and the places where the paper contradicts itself. The results of --measure
    are kept in DIR for later reports.

    \b
    Examples:
      kerakd report runs
      kerakd report --paper runs --out docs/results/paper --measure
    """
    if not paper and (out or measure):
        raise click.UsageError("--out and --measure belong to --paper.")
    from keras_kd.reports import run_records  # brings NumPy, which help does without

    found = run_records.find(runs)
    if as_json:
        shown = [
            {"run": str(one.folder), "config": one.config, "metrics": one.metrics} for one in found
        ]
        output.show_json(shown)
    else:
        output.show_table(run_records.rows(found))
    if paper:
        folder = out or "paper"
        footprint, tables = engine.load("reports.footprint"), engine.load("reproduction.paper")
        tables.require_no_run(folder)
        if measure:
            footprint.save(footprint.measure(list(tables.PARAMETERS), terminal=Terminal()), folder)
        streams.line(f"Tables: {tables.write(found, folder, footprint.load(folder))}", err=as_json)
