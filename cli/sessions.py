"""What the commands for photos and recordings share: which model reads, what finds faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from keras_kd._common.progress import Terminal
from keras_kd.sessions import CONFIDENCE, DETECTORS, SCORE, SIDE

from . import engine, options


def _number(names: str, low: float, high: float, default: float, help: str) -> Callable:
    return click.option(
        *names.split(),
        type=click.FloatRange(low, high),
        default=default,
        show_default=True,
        metavar="NUMBER",
        help=help,
    )


confidence = _number(
    "--confidence",
    0,
    1,
    CONFIDENCE,
    "Smallest probability of a label; faces below it are labelled `uncertain`.",
)


def model_options(command: Callable) -> Callable:
    """Add the options that `load` takes; they reach the command as keywords."""
    for option in (
        options.model_form,
        _number(
            "--crop side",
            0.5,
            4,
            SIDE,
            "Width of the crop that the model sees, in widths of the face box: 1.17 as "
            "FER2013 is cut, 1.5 for drawn faces.",
        ),
        _number("--score", 0, 1, SCORE, "Lowest score at which the detector reports a face."),
        click.option(
            "--detector",
            type=click.Choice(DETECTORS),
            default="auto",
            show_default=True,
            help=(
                "Face detector: BlazeFace for short (2 m) or full range (5 m), auto for both, "
                "or an LBP cascade."
            ),
        ),
        confidence,
        options.from_config("skip_bad_rows"),
        click.option(
            "--calibrate",
            metavar="DATA",
            help="Calibrate the probabilities on a data set's validation images.",
        ),
        click.option(
            "--model",
            metavar="MODEL",
            help="Bundle folder, or .tflite or .keras file; if not given, exports/B of a checkout.",
        ),
    ):
        command = option(command)
    return command


def load(
    asked: dict[str, Any], out: str | None, terminal: Terminal, whole: bool = False
) -> tuple[Any, Any, float | None]:
    """Take what `model_options` gave out of `asked`; return reader, detector (None for pictures as
    a whole) and temperature, if calibrated. Data to calibrate on must not hold the folder `out`.
    """
    data, model = asked.pop("calibrate"), asked.pop("model")
    skip_bad_rows = asked.pop("skip_bad_rows")
    options.require_data(skip_bad_rows, data, "--calibrate")
    load_module = engine.loader([model])
    if data and out:
        load_module("pipelines.apart_from_data").require_outside(Path(out), data)
    reading = load_module("sessions._reader")
    named = model or str(load_module("exporters.bundle").model_file(model))
    stated = load_module("pipelines.statements").parse([named], asked.pop("stated")).of(named)
    finding = asked.pop("detector"), asked.pop("score")
    detector = None if whole else load_module("sessions._detectors").load(*finding)
    if data:
        terminal.say(f"Calibrating on {data}")
    reader, temperature = reading.load(
        model, data, stated, terminal.about(named), bool(skip_bad_rows)
    )
    if data:
        terminal.say(f"Temperature {temperature:.3f}: logits are divided by it.")
    return reader, detector, temperature
