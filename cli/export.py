"""`kerakd export`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from keras_kd import config as configuration
from keras_kd._common.modules import summary
from keras_kd._common.progress import Terminal
from keras_kd._common.text import command_line

from . import engine, options, output

# Options of a run for the format qat. The default is the value that the student was trained with,
# or else that of FineTuning.
_OF_QAT = (
    "soft_labels",
    "temperature",
    "alpha",
    "beta",
    "soft_loss",
    "epochs",
    "batch_size",
    "seed",
)


def _formats() -> list[tuple[str, str]]:
    from keras_kd import exporters  # brings NumPy, which the help of other commands does without

    fine_tuned = summary("keras_kd.exporters.quantization_aware")
    return [*exporters.summaries().items(), ("qat", fine_tuned)]


def _targets() -> list[tuple[str, str]]:
    from keras_kd.exporters import targets

    return list(targets.summaries().items())


@click.command("export", cls=options.listing(("Formats", _formats), ("Targets", _targets)))
@click.argument("model", metavar="MODEL")
@click.option(
    "--format",
    "format",
    metavar="NAME",
    help="Format of the file, one of those above.  [default: dynamic]",
)
@click.option(
    "--target",
    metavar="NAME",
    help="Where the file is to run, one of those above: chooses format and --io where they are"
    " not given, and refuses a file with operators that the place lacks.",
)
@click.option(
    "--tune",
    is_flag=True,
    help="Write the smallest .tflite of all formats that stays within --max-drop, and say why.",
)
@click.option(
    "--max-drop",
    type=float,
    metavar="SHARE",
    help="Largest loss of validation accuracy that --tune accepts.  [default: 0.01]",
)
@click.option(
    "--out",
    metavar="PATH",
    help="Path of the file. If not given, it is written beside MODEL and named after it.",
)
@click.option(
    "--data",
    metavar="DATA",
    help="Data set: its training images set int8's ranges, its test images score the file.",
)
@options.from_config("skip_bad_rows")
@click.option(
    "--io",
    type=click.Choice(["float", "app", "int8"]),
    help=(
        "Types of input and output. float: pixels 0..255 as float32 in, logits out. "
        "app: uint8 pixels in, probabilities out. int8: both are int8, or int16 by the format"
        " int16x8.  [default: float; app for bundles]"
    ),
)
@click.option(
    "--output",
    "output_kind",
    type=click.Choice(["logits", "probabilities", "sigmoids"]),
    help="Kind of the model's outputs, if its last layer is code of your own.",
)
@click.option(
    "--app-input",
    metavar="HxWxC",
    help="Size of the input image for --io app and bundles.  [default: the model's own]",
)
@click.option(
    "--keep-float",
    metavar="LAYER,...",
    help="int8: names of layers that stay in float32.",
)
@click.option(
    "--min-agreement",
    type=float,
    metavar="SHARE",
    help=(
        "Share of samples on which a dynamic, int8, int16x8 or qat file must predict the same "
        "class as Keras.  [default: 0.97]"
    ),
)
@click.option(
    "--layer-errors",
    metavar="FILE.csv",
    help="Formats that round: also write what rounding adds in each layer, the worst first, as a"
    " table and as a picture beside it.",
)
@click.option(
    "--measure",
    is_flag=True,
    help="int8 with --io app: time the first convolution in float32 and in int8 on this machine,"
    " and write the faster.",
)
@click.option(
    "--bundle",
    is_flag=True,
    help="Write a folder for apps with model.tflite, labels, model card and worked example.",
)
@click.option(
    "--model-version",
    metavar="X.Y.Z",
    help="Version of a bundle's model, for its metadata and its card.  [default: 1.0.0]",
)
@click.option(
    "--calibrate",
    is_flag=True,
    help="Calibrate the probabilities by temperature scaling on --data's validation images.",
)
@click.option(
    "--example",
    metavar="IMAGE",
    help="Image for the bundle's worked example.  [default: a drawn face if the classes "
    "are expressions, else --data's first test image]",
)
@options.pixel_form
@click.option(
    "--prune",
    type=float,
    metavar="SHARE",
    help="qat: share of the weights to set to zero, e.g. 0.75.",
)
@click.option(
    "--cluster",
    type=int,
    metavar="N",
    help="qat: number of different weights to leave in each layer, e.g. 16.",
)
@click.option(
    "--learning-rate",
    type=float,
    metavar="NUMBER",
    help="qat: Adam's initial learning rate.  [default: 0.0001]",
)
@options.from_config(*_OF_QAT)
@options.trust_module
@options.as_json
def command(
    model: str,
    format: str | None,
    target: str | None,
    tune: bool,
    max_drop: float | None,
    out: str | None,
    data: str | None,
    skip_bad_rows: bool | None,
    io: str | None,
    output_kind: str | None,
    app_input: str | None,
    keep_float: str | None,
    min_agreement: float | None,
    layer_errors: str | None,
    measure: bool,
    bundle: bool,
    model_version: str | None,
    calibrate: bool,
    example: str | None,
    as_json: bool,
    stated: dict[str, tuple[str, ...]],
    **fine_tuning: Any,
) -> None:
    """Convert a Keras model for an app, check the file and score it.

    MODEL is a .keras or .h5 file. The outputs of the written file on its own runtime are compared
    with those of Keras.

    The options from --prune to --seed control the fine-tuning of qat. --soft-labels is the store
    that the student learnt from.

    \b
    Examples:
      kerakd export student.keras --format int8 --data fer2013.csv
      kerakd export student.keras --target microcontroller --data fer2013.csv
      kerakd export student.keras --format int8 --data faces --bundle --calibrate --out exports/mine
      kerakd export student.keras --format int8 --io app --measure --data fer2013.csv
      kerakd export student.keras --tune --max-drop 0.005 --data fer2013.csv
      kerakd export student.keras --format qat --data fer2013.csv --soft-labels store --prune 0.75
      --cluster 16
    """
    given = {name: value for name, value in fine_tuning.items() if value is not None}
    _refuse_strays(format, tune, max_drop, given)
    options.require_data(skip_bad_rows, data)
    shape = configuration.numbers("app-input", app_input, "x", 3, int)
    configuration.merged(None, options.given(given))  # checks the values
    conversion, choices = (
        engine.load(f"pipelines.{name}") for name in ("export", "export_settings")
    )
    how: dict[str, Any] = {
        "format": choices.TUNED if tune else format,
        "target": target,
        "io": io,
        "max_drop": max_drop,
        "min_agreement": min_agreement,
        "stated": engine.load("pipelines.statements").parse([model], stated).of(model),
    }
    how = {name: value for name, value in how.items() if value is not None}
    soft_labels = given.pop("soft_labels", None)
    settings = choices.ExportSettings(
        **how, keep_float=configuration.listed(keep_float) if keep_float else (), measure=measure,
        layer_errors=Path(layer_errors) if layer_errors else None,
        data=data, skip_bad_rows=bool(skip_bad_rows), app_input=shape, as_bundle=bundle,
        calibrate=calibrate, example=example, model_version=model_version, soft_labels=soft_labels,
        output=output_kind, fine_tuning=choices.fine_tuning(model, given),
    )  # fmt: skip
    typed = command_line(["kerakd", *sys.argv[1:]])
    result = conversion.export(model, settings, Path(out) if out else None, Terminal(), typed)
    if as_json:
        output.show_json(result)
    else:
        _show(result)


def _refuse_strays(
    format: str | None, tune: bool, max_drop: float | None, fine_tuning: Mapping[str, Any]
) -> None:
    """Refuse options that the way chosen would leave unused."""
    if tune and format:
        raise click.UsageError("--tune chooses the format itself: leave out --format.")
    if max_drop is not None and not tune:
        raise click.UsageError("--max-drop belongs to --tune: add it, or leave --max-drop out.")
    if fine_tuning and format != "qat":
        raise click.UsageError(
            f"{_flags(fine_tuning)}: these need --format qat, the only format that trains."
        )
    of_teacher = [
        name for name in ("temperature", "alpha", "beta", "soft_loss") if name in fine_tuning
    ]
    if of_teacher and "soft_labels" not in fine_tuning:
        raise click.UsageError(
            f"{_flags(of_teacher)}: these set the loss on soft labels: add --soft-labels, or leave"
            " them out."
        )


def _flags(names: Mapping[str, Any] | list[str]) -> str:
    return ", ".join(options.flag(name) for name in names)


def _tried(attempt: Mapping[str, Any]) -> tuple[str, ...]:
    kept = f", float: {','.join(attempt['keep_float'])}" if attempt["keep_float"] else ""
    if attempt["bytes"] is None:
        figures = ("–", "–", "–")
    else:
        figures = (
            f"{attempt['bytes'] / 1000:,.0f}",
            f"{attempt['milliseconds']:.3g}",
            f"{100 * attempt['accuracy']:.2f}",
        )
    return attempt["format"] + kept, *figures, attempt["reason"]


def _show(result: Mapping[str, Any]) -> None:
    if "tried" in result:
        rows: list[tuple[str, ...]] = [("tried", "kB", "ms", "validation accuracy %", "why")]
        rows += [_tried(attempt) for attempt in result["tried"]]
        output.show_table(rows)
    accuracy = (
        f"{100 * result['test']['accuracy']:.2f}" if "accuracy" in result.get("test", {}) else ""
    )
    size, difference = f"{result['bytes'] / 1000:,.0f}", f"{result['max_difference']:.2g}"
    shown = {
        "file": result["file"],
        "format": result["format"],
        "kB": size,
        "difference from Keras": difference,
    }
    shown["accuracy %"] = accuracy
    if "answers" in result:
        shown["same answers %"] = f"{100 * result['answers']['same']:.1f}"
    if "temperature" in result:
        shown["temperature"] = f"{result['temperature']:.3f}"
    output.show_table([tuple(shown), tuple(shown.values())])
    worst_class = result.get("answers", {}).get("worst_class")
    if worst_class and worst_class["same"] < 1:
        click.echo(
            f"Fewest of the same answers in the class {worst_class['name']}:"
            f" {100 * worst_class['same']:.1f} % of {worst_class['images']}."
        )
    for fact in result.get("proof", ()):
        click.echo(f"{fact[:1].upper()}{fact[1:]}.")
    if choice := result.get("choice"):
        click.echo(f"{choice['said'][:1].upper()}{choice['said'][1:]}.")
    if worst := result.get("worst_layer"):
        click.echo(
            f"Rounding adds most in {worst['layer']} ({worst['operator']}): "
            f"{100 * worst['error']:.1f} % of its spread."
        )
