"""`kerakd export`."""

from __future__ import annotations

from pathlib import Path

import click

from keras_kd import config as configuration
from keras_kd.progress import Terminal

from . import engine, options, output


@click.command("export")
@click.argument("model", metavar="MODEL")
@click.option("--format", "format", metavar="NAME", default="dynamic", show_default=True, help="One of those below.")
@click.option("--out", metavar="PATH", help="Where to write; beside MODEL and named after it if not given.")
@click.option("--data", metavar="DATA", help="Data set: its training images calibrate, its test images score the file.")
@click.option(
    "--io",
    type=click.Choice(["float", "app", "int8"]),
    default="float",
    show_default=True,
    help="float: pixels 0..255 as float32 in, logits out; app: uint8 pixels in, probabilities out; int8: both int8.",
)
@click.option(
    "--app-input",
    metavar="HxWxC",
    default="48x48x1",
    show_default=True,
    help="Image of --io app and bundles.",
)
@click.option("--bundle", is_flag=True, help="Write a folder for apps: model.tflite, labels, worked example.")
@click.option("--example", metavar="IMAGE", help="Of the bundle's worked example; a drawn face if not given.")
@options.as_json
def command(
    model: str,
    format: str,
    out: str | None,
    data: str | None,
    io: str,
    app_input: str,
    bundle: bool,
    example: str | None,
    as_json: bool,
) -> None:
    """Convert MODEL, a .keras or .h5 file, compare the file with Keras on its own runtime, and score it.

    \b
    Formats:
      float32      .tflite, exact
      float16      .tflite, half the size
      dynamic      .tflite, int8 weights; needs no data
      int8         .tflite, int8 weights and activations; needs --data
      saved_model  TensorFlow's folder
      onnx         needs the extra onnx
      pytorch      a state dict with the published keys; needs the extra torch
      safetensors  the same without torch
    \b
    Examples:
      kerakd export student.keras --format int8 --data fer2013.csv
      kerakd export student.keras --format int8 --data faces --bundle --out exports/mine
    """
    shape = configuration.numbers("app-input", app_input, "x", 3, int)
    scoring = engine.load("scoring")
    target = Path(out) if out else None
    result = scoring.export(model, format, target, data, io, shape, bundle, example, Terminal())
    if as_json:
        output.show_json(result)
        return
    rows = [("file", "kB", "difference from Keras", "accuracy %")]
    accuracy = f"{100 * result['test']['accuracy']:.2f}" if "test" in result else ""
    rows.append((result["file"], f"{result['bytes'] / 1000:,.0f}", f"{result['max_difference']:.2g}", accuracy))
    output.show_table(rows)
