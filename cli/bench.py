"""`kerakd bench`."""

from __future__ import annotations

import click

from keras_kd import datasets
from keras_kd.files import write_text

from . import engine, options, output


@click.command("bench")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--data", metavar="DATA", help="Data set: its test images score the files.")
@click.option("--seconds", type=float, default=5.0, show_default=True, metavar="NUMBER", help="To time each file.")
@click.option("--csv", "csv_path", metavar="FILE", help="Also write all figures as csv.")
@options.as_json
def command(models: tuple[str, ...], data: str | None, seconds: float, csv_path: str | None, as_json: bool) -> None:
    """Compare models, .tflite, .onnx or .keras, as an app would run them: ratios to the first, then the figures.

    Latencies are measured in turns over all models, so that what else the machine does meets all alike.

    \b
    Example:
      kerakd bench student_float32.tflite student_int8.tflite --data faces
    """
    bench = engine.load("bench")
    samples = datasets.load(data, "test") if data else None
    table = bench.table(bench.measure(models, seconds=seconds, samples=samples))
    if csv_path:
        write_text(csv_path, table.to_csv())
    if as_json:
        records = table.reset_index().astype(object)
        output.show_json(records.where(records.notna(), None).to_dict(orient="records"))
        return
    shown = table.T
    rows = [("", *shown.columns)]
    rows += [(name, *(_figure(value) for value in row)) for name, row in zip(shown.index, shown.values, strict=True)]
    output.show_table(rows)


def _figure(value: float | None) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
