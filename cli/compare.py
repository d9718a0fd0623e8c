"""`kerakd compare`."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from keras_kd._common import text
from keras_kd._common.files import require_apart, write_text
from keras_kd.sessions import LEAST_READABLE

from . import engine, options, output, streams


@options.command("compare")
@click.argument("recordings", metavar="CSV...", nargs=-1, required=True)
@click.option("--out", metavar="FILE.html", help="Also write the comparison as a page.")
@click.option("--csv", "csv_path", metavar="FILE", help="Also write all numbers as csv.")
@click.option(
    "--paired",
    is_flag=True,
    help="The design is paired: equal names in both folders are the same person.",
)
@click.option(
    "--least-readable",
    "least",
    type=click.FloatRange(0, 1),
    default=LEAST_READABLE,
    show_default=True,
    metavar="SHARE",
    help="Share of a task's time in which the face must be readable for a participant to "
    "be counted.",
)
@click.option(
    "--questionnaire",
    metavar="FILE.csv",
    help="Answers with the column participant and columns of numbers, which are compared too; "
    "sus_1 to sus_10 become the SUS score.",
)
@options.as_json
def command(
    recordings: tuple[str, ...],
    out: str | None,
    csv_path: str | None,
    paired: bool,
    least: float,
    questionnaire: str | None,
    as_json: bool,
) -> None:
    """Summarise participants' sessions, or compare two groups of them.

    The table shows means, intervals, effect sizes and tests, which are corrected for their number.
    CSV is a file that `kerakd analyze` wrote, or a folder of such files. The groups are named after
    the folders of their files. Tasks with the same name are compared.

    \b
    Examples:
      kerakd compare A/*.csv
      kerakd compare A/*.csv B/*.csv --out a-against-b.html
      kerakd compare A/*.csv B/*.csv --paired
    """
    require_apart((out, csv_path), (*recordings, *filter(None, [questionnaire])))
    if out and Path(out).suffix.lower() not in ("", ".html", ".htm"):
        raise click.UsageError(
            f"--out is a page, whose name ends in .html; --csv writes numbers. Received: {out}."
        )
    load = functools.partial(engine.load, with_keras=False)
    comparison, pages = load("sessions.comparison"), load("sessions._comparison_page")
    rows = comparison.participants(recordings)
    if questionnaire:
        rows = load("sessions._questionnaires").joined(rows, questionnaire)
    study = comparison.compare(rows, paired, least)
    if csv_path:
        write_text(csv_path, text.csv(comparison.table(study)))
    if out:
        write_text(out, pages.page(study))
    if as_json:
        output.show_json(output.records(comparison.table(study)))
        return
    output.show_table(pages.shown(study))
    for note in [
        *pages.notes(study),
        pages.folded(study),
        *(f"Left out: {line}" for line in study.left_out),
    ]:
        if note:
            streams.line(f"  {note}")
