"""Command-line options made from those of a run, `keras_kd.config`, which defines each once."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from keras_kd import config

from . import engine


class Command(click.Command):
    """A command that refuses what click takes in silence: an option of one value given twice, of
    which the last would count, and nan and inf as numbers.

    Flags may be given again: `--no-x` takes back an `--x` before it.
    """

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        given = list(arguments)  # which click empties
        left = super().parse_args(context, arguments)
        # The shell's completion reads a line that may not be whole.
        if not context.resilient_parsing:
            self._refuse_repeated(context, self.make_parser(context).parse_args(given)[2])
            self._refuse_infinite(context)
        return left

    def _refuse_repeated(self, context: click.Context, given: list[click.Parameter]) -> None:
        for option in self.params:
            takes_one = isinstance(option, click.Option) and not (option.multiple or option.is_flag)
            if takes_one and given.count(option) > 1:
                raise click.UsageError(
                    f"{option.opts[0]} takes one value and is given {given.count(option)} times:"
                    " give it once.",
                    context,
                )

    def _refuse_infinite(self, context: click.Context) -> None:
        for option in self.params:
            value = context.params.get(str(option.name))
            if isinstance(value, float) and not math.isfinite(value):
                raise click.UsageError(
                    f"{option.opts[0]} must be a finite number. Received: {value}.", context
                )


# A decorator, as click's own.
command = functools.partial(click.command, cls=Command)


def from_config(*names: str) -> Callable:
    """Add the named options of a run to a command; an option that is not given is None."""

    def decorate(command: Callable) -> Callable:
        # The last option that is added is the first of the help.
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
    if spec.metadata["is_size"]:
        kind, metavar = _size, "N|HxW"
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


def _size(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _joined(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> str | None:
    return config.SEPARATOR.join(values) or None


def listing(
    *sections: tuple[str, Callable[[], Sequence[tuple[str, str]]]],
) -> type[click.Command]:
    """Return a command whose help lists titles and their rows of name and text, asked for when help
    is shown.
    """

    class Listing(Command):
        def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
            for title, rows in sections:
                with formatter.section(title):
                    formatter.write_dl(rows())
            super().format_options(context, formatter)

    return Listing


def flag(name: str) -> str:
    """Return an option's name on the command line, e.g. --temp."""
    spec = config.fields().get(name)
    return "--" + ((spec and spec.metadata["flag"]) or name).replace("_", "-")


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that are options of a run and that the user gave, by name."""
    return {
        name: value
        for name, value in arguments.items()
        if name in config.fields() and value is not None
    }


def require_data(skip_bad_rows: bool | None, data: str | None, option: str = "--data") -> None:
    """Refuse --skip-bad-rows of a command that is given no data to read.

    Args:
        skip_bad_rows: whether it is given.
        data: the data.
        option: names the data.
    """
    if skip_bad_rows and not data:
        raise click.UsageError(
            f"--skip-bad-rows is about the rows of {option}: add that, or leave --skip-bad-rows"
            " out."
        )


def typed() -> dict[str, str]:
    """Return the options that the user gave to the command that runs, by the parameters' names."""
    context = click.get_current_context()
    return {
        str(parameter.name): parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT
    }


# What a command writes to.
WRITTEN = ("--out", "--csv", "--picture", "--annotate", "--soft-labels", "--layer-errors")
LOSS = ("temperature", "alpha", "beta", "soft_loss", "match", "bound_weight", "margin")
# What is learnt, by whom and from whom.
DISTILLATION = (
    "data",
    "student",
    "teacher",
    "teacher_mirror",
    "votes",
    "unlabeled",
    "unlabeled_share",
    *LOSS,
    "epochs",
    "teacher_epochs",
)
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
    "optimizer",
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
    "shuffle_buffer",
    "views",
    "live_teacher",
    "soft_labels",
    "verify_soft_labels",
    "label_workers",
    "seed",
    "devices",
    "precision",
    "callback",
    "log",
)

# What a user may state about a student's file, and about a teacher's.
STUDENT_FORM = (
    "student_range",
    "student_mean",
    "student_std",
    "student_channel_order",
    "student_classes",
)
TEACHER_FORM = (
    "teacher_input",
    "teacher_range",
    "teacher_mean",
    "teacher_std",
    "teacher_channel_order",
    "teacher_output",
    "teacher_classes",
    "teacher_head",
)

config_file = click.option(
    "--config",
    "config_file",
    metavar="FILE.toml",
    help="TOML file of options. Options on the command line override it.",
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else."
)


def trusting(values: dict[str, Any]) -> list[str]:
    """Return the words of --trust-module that a command needs to run these options' code again."""
    modules = dict.fromkeys(config.code_of(values).values())
    return [word for module in modules for word in ("--trust-module", module)]


def _trust(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> None:
    for name in names:
        engine.load("models.trusted_modules").trust(name)


trust_module = click.option(
    "--trust-module",
    multiple=True,
    callback=_trust,
    expose_value=False,
    metavar="MODULE",
    help="Module or .py file with custom layers that a model file uses. Its code is run: "
    "name only one that you would run yourself. May be given several times.",
)


# Option and help of each statement about a model file, by its name in pipelines.statements.
_STATEMENTS = {
    "input": ("HxWxC", "Height, width and channels of the image that the model expects."),
    "range": (
        "LOW,HIGH",
        "Values that the model expects for pixels 0 and 255, before mean and std.",
    ),
    "mean": ("A,B,C", "Mean to subtract from each channel, in the model's channel order."),
    "std": ("A,B,C", "Standard deviation to divide each channel by."),
    "channel_order": ("rgb|bgr", "Order of the model's channels."),
    "output": ("KIND", "Kind of the model's outputs: logits or probabilities."),
    "classes": (
        "A,B,C",
        "Class names, in the order of the model's outputs; one with a comma in double quotes.",
    ),
    "head": ("NAME", "Name of the class output to use, if the model has several."),
}


def model_form(command: Callable) -> Callable:
    """Add the options that describe a model file without metadata.

    The command gets their texts as `stated`, a dictionary by name.
    """
    return _stating(command, tuple(_STATEMENTS))


def file_form(command: Callable) -> Callable:
    """As `model_form`, for a `.tflite` file, which has its image's size inside."""
    return _stating(command, tuple(name for name in _STATEMENTS if name != "input"))


def pixel_form(command: Callable) -> Callable:
    """As `model_form`, for a model that is converted, whose kind of outputs its graph tells."""
    return _stating(command, tuple(name for name in _STATEMENTS if name != "output"))


def _stating(command: Callable, names: Sequence[str]) -> Callable:
    @functools.wraps(command)
    def with_statements(**arguments: Any) -> Any:
        stated = {name: arguments.pop(f"stated_{name}") for name in names}
        return command(**arguments, stated=stated)

    for name in reversed(names):
        metavar, words = _STATEMENTS[name]
        with_statements = click.option(
            flag(name), f"stated_{name}", multiple=True, metavar=metavar, help=words
        )(with_statements)
    return with_statements


# An option in a message; what stands in `backticks` is a command of its own.
_OPTION = re.compile(r"`[^`]*`|(?P<option>--[a-z]+(?:-[a-z]+)*)")


def named_for(command: click.Command | None, message: str) -> str:
    """Return a message with its options called as the command calls them, e.g. --teacher-range
    where there is no --range.
    """
    known = _known(command)

    def named(found: re.Match) -> str:
        of_teacher = f"--teacher-{(found['option'] or '')[2:]}"
        return of_teacher if found[0] not in known and of_teacher in known else found[0]

    return _OPTION.sub(named, message)


def lacked(command: click.Command | None, message: str) -> list[str]:
    """Return the options that a message names and the command lacks."""
    named = [found["option"] for found in _OPTION.finditer(message) if found["option"]]
    return [name for name in dict.fromkeys(named) if command and name not in _known(command)]


def _known(command: click.Command | None) -> set[str]:
    return {name for parameter in (command.params if command else []) for name in parameter.opts}


def data_name(data: str) -> str:
    """Return the name of a data set's folder, or of its file without the suffix."""
    path = Path(data).resolve()
    return path.name if path.is_dir() else path.stem


def run_name(data: str, student: str) -> str:
    """Return the name of a folder for these data and this student, e.g. faces-B."""
    model = engine.load("models.sources").called(student)
    return f"{data_name(data)}-{model}"
