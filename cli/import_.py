"""`kerakd import`."""

from __future__ import annotations

from pathlib import Path

import click

from keras_kd import config as configuration

from . import engine, options, streams


@options.command("import")
@click.argument("weights", metavar="WEIGHTS")
@click.option(
    "--model",
    metavar="NAME",
    help="Architecture of the model. If not given, it is recognised from the file's keys "
    "and shapes.",
)
@click.option(
    "--out", metavar="FILE.keras", required=True, help="File to write the Keras model to."
)
@click.option(
    "--classes",
    metavar="A,B,C",
    help="Class names in the order of the outputs.  [default: those in the file, or the published "
    "names]",
)
@click.option(
    "--input",
    "input_shape",
    metavar="HxWxC",
    help="Size of the image that the model takes.  [default: the published size]",
)
@click.option(
    "--check",
    metavar="FILE.npz",
    help="Arrays `inputs` (pixels 0..255) and `outputs` of the original program, to compare the "
    "model with. Several outputs have arrays of their own names.",
)
def command(
    weights: str,
    model: str | None,
    out: str,
    classes: str | None,
    input_shape: str | None,
    check: str | None,
) -> None:
    """Convert published weights into a Keras model.

    WEIGHTS is PyTorch's .pth, .pt or .safetensors file, or FaceRes' faceres.json, a TensorFlow.js
    graph model with its .bin beside it. No code in the file is run. The written file stores class
    names, input size and normalisation, so that it can be a teacher on any data.

    \b
    Examples:
      kerakd import fer2013_model.pth --model resemotenet --out teacher.keras
      kerakd distill --teacher teacher.keras --data fer2013.csv
      kerakd import faceres.json --input 96x96x1 --out faceres.keras
    """
    if Path(out).suffix != ".keras":
        raise click.UsageError(f"--out must end in .keras. Received: {out}.")
    shape = configuration.numbers("input", input_shape, "x", 3, int)
    checkpoints, saved = engine.load("checkpoints"), engine.load("models.keras_file")
    names = configuration.listed_names(classes) if classes else None
    class_names = engine.load("datasets.class_names")
    twice = class_names.repeated(names or ())
    if twice and not class_names.are_mostly_different(names):
        raise click.UsageError(f"--classes: {twice}; name each class once. Received: {classes}.")
    built, spec = checkpoints.load(weights, model, class_names=names, input_shape=shape)
    difference = checkpoints.compare(built, check) if check else None
    saved.save(built, out, spec)
    streams.line(
        f"{out}: {built.name}, {built.count_params():,} weights, input"
        f" {'x'.join(map(str, spec.input_shape))}"
    )
    streams.line(
        "classes:"
        f" {', '.join(spec.class_names) if spec.class_names else 'not named (see --classes)'}"
    )
    if difference is not None:
        streams.line(f"differs from {check} by {difference:.1g} of the outputs' spread")
