"""`kerakd compare`."""

from __future__ import annotations

import click

from keras_kd import text
from keras_kd.files import write_text

from . import engine, options, output


@click.command("compare")
@click.argument("recordings", metavar="CSV...", nargs=-1, required=True)
@click.option("--out", metavar="FILE.html", help="Also write a page.")
@click.option("--csv", "csv_path", metavar="FILE", help="Also write all numbers as csv.")
@options.as_json
def command(recordings: tuple[str, ...], out: str | None, csv_path: str | None, as_json: bool) -> None:
    """Sum up participants' sessions, or compare two groups of them.

    It tells means, intervals and effect sizes. CSV is a file that `kerakd analyze` wrote; their folders name the
    groups. Tasks of the same name are compared.

    \b
    Examples:
      kerakd compare A/*.csv
      kerakd compare A/*.csv B/*.csv --out a-against-b.html
    """
    comparison = engine.load("sessions.comparison")
    compared = comparison.compare(comparison.participants(recordings))
    if csv_path:
        write_text(csv_path, text.csv(comparison.table(compared)))
    if out:
        write_text(out, comparison.page(compared))
    if as_json:
        numbers = comparison.table(compared).astype(object)
        output.show_json(numbers.where(numbers.notna(), None).to_dict(orient="records"))
        return
    output.show_table(comparison.shown(compared))
    for note in comparison.notes(compared):
        click.echo(f"  {note}")
