"""`kerakd bench`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import keras_kd
from keras_kd._common import text
from keras_kd._common.files import require_apart, write_text
from keras_kd._common.paths import places_of
from keras_kd._common.progress import Terminal

from . import engine, options, output

if TYPE_CHECKING:
    import pandas as pd

    from keras_kd.datasets.images import Size


@options.command("bench")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--data", metavar="DATA", help="Data set: its test images score the files.")
@options.from_config("skip_bad_rows")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="NUMBER",
    help="Seconds of timing for each file.",
)
@click.option("--csv", "csv_path", metavar="FILE", help="Also write all figures as csv.")
@click.option(
    "--picture",
    metavar="FILE.png",
    help="Also draw accuracy against latency and size; needs --data.",
)
@click.option(
    "--operators",
    is_flag=True,
    help="List each operator's time and type, and whether accelerators take it (one .tflite).",
)
@click.option(
    "--on-device",
    is_flag=True,
    help="Time one .tflite on the Android device that adb finds, by LiteRT's benchmark tool.",
)
@options.model_form
@options.trust_module
@options.as_json
def command(
    models: tuple[str, ...],
    data: str | None,
    skip_bad_rows: bool | None,
    seconds: float,
    csv_path: str | None,
    picture: str | None,
    operators: bool,
    on_device: bool,
    as_json: bool,
    stated: dict[str, tuple[str, ...]],
) -> None:
    """Compare models' time, size and score, as an app would run them.

    MODEL is a .tflite, .onnx or .keras file, or a bundle's folder. The table shows ratios to the
    first model, then the figures. The models are timed in turns, so that other load on the machine
    affects all of them equally. Models of other projects can be compared, too: a labels.txt in
    their folder lists their class names in order. The options --input to --head describe models
    whose files have no metadata; MODEL=VALUE sets one of several models.

    \b
    Examples:
      kerakd bench student_float32.tflite student_int8.tflite --data faces
      kerakd bench student.keras rival/model.onnx --range rival/model.onnx=-1,1 --data faces
      --picture both.png
      kerakd bench exports/mine/model.tflite --operators
      kerakd bench exports/mine/model.tflite --on-device
    """
    options.require_data(skip_bad_rows, data)
    load = engine.loader(models)
    bundle = load("exporters.bundle")
    read = [file for model in models for file in bundle.files_of(bundle.model_file(model))]
    require_apart((csv_path, picture), [*read, *places_of(data)])
    if operators and on_device:
        raise click.UsageError("--operators times here and --on-device elsewhere: give one.")
    if operators or on_device:
        _show_operators(_only(models, data, picture), on_device, seconds, csv_path, as_json)
        return
    if picture and not data:
        raise click.UsageError("--picture shows accuracy, which needs --data: add it.")
    if picture:
        load("reports.comparison_pictures").require_picture(picture)
    load("pipelines.apart_from_data").require_files_outside((csv_path, picture), data)
    statements = load("pipelines.statements").parse(models, stated)
    terminal, bench = Terminal(), load("evaluation.benchmark")
    # Data that can't be read stop the command before minutes of timing.
    samples = _test_images(data, bool(skip_bad_rows), terminal) if data else None
    measurements = bench.measure(
        models, seconds=seconds, samples=samples,
        stated={name: statements.of(name) for name in models}, tell=terminal.say,
    )  # fmt: skip
    table = bench.table(measurements)
    if csv_path:
        write_text(csv_path, text.csv(table.reset_index()))
    if picture:
        images = f"{len(samples(None)):,} test images"
        _draw(picture, measurements, f"{text.encodable(Path(data).name)}, {images}")
    if as_json:
        output.show_json(output.records(table.reset_index()))
        return
    output.show_table(_rows(table))


def _test_images(
    data: str, skip_bad_rows: bool, terminal: Terminal
) -> Callable[[Size | None], keras_kd.Samples]:
    """Tell what is passed over in the data, and return a function that loads the test images at a
    size, each size once.
    """
    from keras_kd import datasets

    source = datasets.DataSet(data, skip_bad_rows)
    at = functools.cache(lambda size: source.load(("test",), size)["test"])
    skipped = at(None).skipped
    terminal.notes(source.notes)
    terminal.skipped(skipped)
    return at


def _rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """A column for each model, a row for each figure."""
    shown = table.T
    return [("", *shown.columns)] + [
        (name, *map(_figure, row)) for name, row in zip(shown.index, shown.values, strict=True)
    ]


def _only(models: Sequence[str], data: str | None, picture: str | None) -> str:
    if len(models) != 1 or data or picture:
        raise click.UsageError(
            "--operators and --on-device time one file: give one MODEL, without --data and"
            " --picture."
        )
    return models[0]


def _show_operators(
    model: str, on_device: bool, seconds: float, csv_path: str | None, as_json: bool
) -> None:
    import pandas as pd

    if on_device:
        measured = engine.loader([model])("evaluation.on_device").measure(model, seconds)
        columns = ("operator", "milliseconds", "name")
        table = pd.DataFrame(list(measured.operators), columns=columns)
        summary = (
            f"{measured.device}: {measured.milliseconds:.3g} ms an image, one thread of the CPU."
        )
    else:
        times = engine.loader([model])("evaluation.operator_times")
        found = times.measure(model, seconds)
        table = times.table(found).reset_index()
        summary = (
            f"The whole file takes {found.whole:.3g} ms an image, its operators one by one"
            f" {found.sum:.3g} ms."
        )
    if csv_path:
        write_text(csv_path, text.csv(table))
    if as_json:
        output.show_json(output.records(table))
        return
    # The parts of an image's time are small: 0.00013 ms is hard to read.
    for name, (unit, factor) in {"milliseconds": ("µs", 1000), "share": ("share %", 100)}.items():
        if name in table:
            table[name] = factor * table[name].astype(float)
            table = table.rename(columns={name: unit})
    rows = [tuple(table.columns)]
    rows += [tuple(_cell(value) for value in row) for row in table.itertuples(index=False)]
    output.show_table(rows)
    click.echo(summary)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else _figure(value)


def _draw(path: str, measurements: Sequence[Any], title: str) -> None:
    from keras_kd.reports.comparison_pictures import tradeoff_picture

    scored = [one for one in measurements if one.accuracy is not None]
    if not scored:
        raise click.UsageError(
            "--picture shows accuracies, but none of the models has classes: leave it out."
        )
    accuracies = [(one.accuracy, *one.accuracy_interval) for one in scored]
    milliseconds = [one.latency[min(one.latency)][0] for one in scored]
    megabytes = [one.bytes / 1e6 for one in scored]
    names = [text.encodable(one.name) for one in scored]
    tradeoff_picture(path, names, accuracies, milliseconds, megabytes, title)


def _figure(value: float | None) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
