"""Command-line options made from the fields of Config, so that each is defined once."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from keras_kd import config

from . import engine


def from_config(*names: str) -> Callable:
    """Add the named options of Config to a command; what the user doesn't give stays out of its
    arguments.
    """

    def decorate(command: Callable) -> Callable:
        for name in reversed(names):
            command = _option(name)(command)
        return command

    return decorate


def _option(name: str) -> Callable:
    spec = config.fields()[name]
    default = (
        "" if spec.default is None or spec.default is False else f"  [default: {spec.default}]"
    )
    if config.kind(name) is bool:
        either = f"{flag(name)}/--no-{flag(name).removeprefix('--')}"
        return click.option(either, name, default=None, help=spec.metadata["help"])
    if spec.metadata["several"]:
        return click.option(
            flag(name),
            name,
            multiple=True,
            callback=_joined,
            metavar="TEXT",
            help=spec.metadata["help"] + default,
        )
    kind: Any = config.kind(name)
    metavar = {int: "N", float: "NUMBER", str: "TEXT"}[kind]
    if spec.metadata["choices"]:
        kind, metavar = click.Choice(spec.metadata["choices"]), None
    return click.option(
        flag(name),
        name,
        type=kind,
        default=None,
        metavar=metavar,
        help=spec.metadata["help"] + default,
    )


def _joined(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> str | None:
    return config.SEPARATOR.join(values) or None


def flag(name: str) -> str:
    """What is typed for an option, e.g. --temp."""
    spec = config.fields().get(name)
    return "--" + ((spec and spec.metadata["flag"]) or name).replace("_", "-")


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of the arguments that are Config's and that the user gave."""
    return {
        name: value
        for name, value in arguments.items()
        if name in config.fields() and value is not None
    }


TRAINING = (
    "start_from",
    "keep_weights",
    "pretrained",
    "freeze_until",
    "heads",
    "image_size",
    "value_loss",
    "value_weight",
    "recipe",
    "batch_size",
    "learning_rate",
    "head_rate",
    "body_rate",
    "schedule",
    "patience",
    "weight_decay",
    "clip_norm",
    "ema",
    "conv_dropout",
    "dense_dropout",
    "class_weights",
    "weights_normalised",
    "label_smoothing",
    "augment",
    "views",
    "soft_labels",
    "verify_soft_labels",
    "label_workers",
    "seed",
    "devices",
    "precision",
)

config_file = click.option(
    "--config", "config_file", metavar="FILE.toml", help="Options from a file; a flag beats it."
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else."
)


def trusting(values: dict[str, Any]) -> str:
    """What must be typed, too, to run the code again that these options name."""
    modules = dict.fromkeys(config.code_of(values).values())
    return "".join(f" --trust-module {shlex.quote(module)}" for module in modules)


def _trust(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> None:
    for name in names:
        engine.load("models.trusted_modules").trust(name)


trust_module = click.option(
    "--trust-module",
    multiple=True,
    callback=_trust,
    expose_value=False,
    metavar="MODULE",
    help="A module, or a .py file, with layers of your own that model files may name. Its code is run: name only one "
    "that you would run yourself. May be given several times.",
)


def model_form(command: Callable) -> Callable:
    """Options that say what a model file takes and gives, where it doesn't tell."""
    for option in (
        click.option(
            "--output",
            "model_output",
            type=click.Choice(["logits", "probabilities"]),
            help="What it gives.",
        ),
        click.option(
            "--range",
            "value_range",
            metavar="LOW,HIGH",
            help="What it expects for pixels 0 and 255.",
        ),
        click.option(
            "--input",
            "input_shape",
            metavar="HxWxC",
            help="Height, width and channels that it takes.",
        ),
    ):
        command = option(command)
    return command


def run_name(options: config.Config) -> str:
    """What a folder for these data and this student is called."""
    student = engine.load("models.sources").called(options.student)
    return f"{Path(options.data).stem}-{student}"
