"""Every option once: its type, default, help and check; the command line and TOML files both read
them here.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_kd import losses
from keras_kd._common import trust
from keras_kd._common.checked_files import read_text, read_toml
from keras_kd.errors import ConfigError

# Of keras_kd.distiller, which imports Keras.
VALUE_LOSSES = ("mse", "shake-shake")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")

# The defaults of the options that are left to the recipe.
# "paper": section IV of arXiv 2501.18538, and the published teacher code where the paper is silent.
# "best": what gave more on FER2013, see docs/results.
RECIPES: dict[str, dict[str, Any]] = {
    "paper": {
        "epochs": 80,
        "teacher_epochs": 80,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "schedule": "plateau",
        "patience": 15,
        "weight_decay": 1e-4,
        "clip_norm": 0.0,
        "ema": 0.0,
        "conv_dropout": 0.2,
        "dense_dropout": 0.5,
        "class_weights": "balanced",
        "augment": "mirror",
    },
    "best": {
        "epochs": 30,
        "teacher_epochs": 12,
        "batch_size": 128,
        "learning_rate": 0.1,
        "schedule": "cosine",
        "patience": 0,
        "weight_decay": 1e-4,
        "clip_norm": 1.0,
        "ema": 0.0,
        "conv_dropout": 0.05,
        "dense_dropout": 0.1,
        "class_weights": "none",
        "augment": "crops",
    },
}
# What drawn faces need, in minutes.
RECIPES["quick"] = RECIPES["best"] | {"epochs": 9, "batch_size": 64, "augment": "mirror"}

Check = tuple[Callable[[Any], bool], str]
POSITIVE: Check = (lambda value: value > 0, "above 0")
NOT_NEGATIVE: Check = (lambda value: value >= 0, "0 or more")
SHARE: Check = (lambda value: 0 <= value <= 1, "between 0 and 1")
BELOW_ONE: Check = (lambda value: 0 <= value < 1, "0 or more and below 1")


def _is_soft_loss(text: str) -> bool:
    try:
        return bool(losses.parsed(text))
    except ConfigError:
        return False


# Between the values of an option that may be given several times.
SEPARATOR = ";"


def _option(
    default: Any,
    help: str,
    check: Check | None = None,
    choices: Collection[str] = (),
    flag: str | None = None,
    several: bool = False,
    runs_code: bool = False,
) -> Any:
    if choices:
        check = (lambda value: value in choices, f"one of {', '.join(choices)}")
    spec = {
        "help": help,
        "check": check,
        "choices": tuple(choices),
        "flag": flag,
        "several": several,
        "runs_code": runs_code,
    }
    return field(default=default, metadata=spec)


@dataclass(frozen=True)
class Config:
    """All options of a run. None means: as the recipe has it, or as the data or the file tells.

    Raises:
        ConfigError: a value of the wrong type or out of its range; the message names the option and
            what is allowed.
    """

    data: str = _option(
        "faces",
        "Data set: a file or folder whose form is recognised, NAME:PATH, or `faces` (drawn).",
    )
    image_size: int | None = _option(
        None,
        "Height and width of the images in pixels; the data set's own, mostly 64, if not given.",
        POSITIVE,
    )
    skip_bad_rows: bool = _option(
        False, "Leave out unreadable rows and list them, instead of stopping."
    )
    student: str = _option(
        "B",
        "Student: an architecture of `kerakd models`; keras:NAME of keras.applications; a .keras"
        " file, whose layers get new weights and a new head; or package.module:function or"
        " file.py:function that returns a Keras model, whose code is run because you name it.",
        runs_code=True,
    )
    teacher: str | None = _option(
        None,
        "Teacher: a model file that teaches as it is, or what --student takes, to train first on"
        " the same data (kept in the cache); several are averaged; if not given, resemotenet (B"
        " with the recipe quick), or none where --soft-labels has the logits.",
        several=True,
        runs_code=True,
    )
    keep_weights: bool = _option(
        False,
        "Start with what the .keras file learnt that is trained, the student's or, with `teach`,"
        " the teacher's; its head is new unless its classes are the data's.",
    )
    teacher_mirror: bool = _option(
        False, "Average the teacher's answers over each image and its mirror image."
    )
    teacher_input: str | None = _option(
        None, "HEIGHTxWIDTHxCHANNELS that a teacher file takes, if it doesn't tell."
    )
    teacher_range: str | None = _option(
        None, "LOW,HIGH that a teacher file expects for pixels 0 and 255."
    )
    teacher_output: str | None = _option(
        None, "What a teacher file gives.", choices=("logits", "probabilities")
    )
    teacher_classes: str | None = _option(
        None, "A,B,C: class names of a teacher file's outputs, in order."
    )
    unlabeled: str | None = _option(
        None,
        "Folder of pictures without labels, at any depth: the teacher labels them, and the student"
        " learns from them beside the labelled ones; those that equal or nearly equal validation"
        " or test pictures are left out. May be given several times.",
        several=True,
    )
    unlabeled_share: float = _option(
        0.5, "Share of each batch that is --unlabeled.", (lambda value: 0 < value < 1, "in 0..1")
    )
    votes: str | None = _option(
        None,
        "FER+'s csv of people's votes on FER2013's images: the votes teach the classes, instead of"
        " a model.",
    )
    temperature: float = _option(
        losses.TEMPERATURE, "T: softens teacher and student alike.", POSITIVE, flag="temp"
    )
    alpha: float = _option(losses.ALPHA, "α: weight of the true labels.", SHARE)
    beta: float | None = _option(
        None,
        "β: weight of the teacher's soft labels; 1-α if not given; 0: no teacher at all.",
        NOT_NEGATIVE,
    )
    pretrained: str | None = _option(
        None,
        "Start from the weights that Keras offers (mobilenetv2, keras:NAME): the teacher with"
        " `teach`, the student with `distill`.",
        choices=("imagenet",),
    )
    start_from: str | None = _option(
        None,
        "Fine-tune a .keras file: its body is kept, its head is new unless its classes are the "
        "data's. The teacher's start with `teach`, the student's with `distill`.",
    )
    freeze_until: str | None = _option(
        None, "With --start-from: the layers up to this one, by name, don't learn."
    )
    heads: str | None = _option(
        None,
        "A,B: what to learn of the data, its classes and continuous values by name, e.g."
        " expression,valence,arousal; the classes, and what values the teacher gives, if not"
        " given.",
    )
    soft_loss: str = _option(
        "kl",
        f"What the teacher's logits are learnt by: {', '.join(losses.soft_loss_names())}; with"
        " settings of its own in parentheses, e.g. decoupled(other_weight=4).",
        (_is_soft_loss, f"one of {', '.join(losses.soft_loss_names())}, with numbers by name"),
    )
    value_loss: str = _option(
        "mse",
        "What values are learnt by: mse, or EmoNet's shake-shake with both correlations.",
        choices=VALUE_LOSSES,
    )
    value_weight: float = _option(1.0, "Weight of each value's loss.", NOT_NEGATIVE)
    bound_weight: float = _option(
        0.5, "ν: weight of the teacher-bounded part of each value's loss.", NOT_NEGATIVE
    )
    margin: float = _option(
        0.0, "m: the part that is bounded counts until the student is better by it.", NOT_NEGATIVE
    )
    baseline: bool = _option(
        False, "Also train the same student without the teacher, same budget, for comparison."
    )
    recipe: str | None = _option(
        None,
        "Defaults of training: paper, best, or quick (minutes on two cores); quick for drawn faces,"
        " best otherwise.",
        choices=RECIPES,
    )
    epochs: int | None = _option(None, "Epochs of the student.", POSITIVE)
    teacher_epochs: int | None = _option(
        None, "Epochs of a teacher that is trained here.", POSITIVE
    )
    batch_size: int | None = _option(None, "Images a step.", POSITIVE)
    learning_rate: float | None = _option(
        None, "Highest learning rate (SGD, Nesterov momentum 0.9).", POSITIVE
    )
    schedule: str | None = _option(
        None,
        "cosine: warm-up, then down to 0; plateau: x0.1 when validation stagnates.",
        choices=("cosine", "plateau"),
    )
    patience: int | None = _option(
        None, "Stop after so many epochs without a better validation; 0: never.", NOT_NEGATIVE
    )
    head_rate: float | None = _option(
        None, "Highest learning rate of the head; --learning-rate if not given.", POSITIVE
    )
    body_rate: float | None = _option(
        None, "Highest learning rate of all but the head; --learning-rate if not given.", POSITIVE
    )
    weight_decay: float | None = _option(
        None, "L2 penalty's gradient factor, as in PyTorch's SGD.", NOT_NEGATIVE
    )
    clip_norm: float | None = _option(
        None,
        "Largest norm of all gradients together; 0: any. T² makes the first steps' gradients"
        " large.",
        NOT_NEGATIVE,
    )
    ema: float | None = _option(
        None,
        "Momentum of an exponential moving average of the weights, kept in their place; 0: none.",
        BELOW_ONE,
    )
    conv_dropout: float | None = _option(None, "Dropout between convolutions.", BELOW_ONE)
    dense_dropout: float | None = _option(None, "Dropout between dense layers.", BELOW_ONE)
    class_weights: str | None = _option(
        None,
        "Weights of classes in the labels' loss: none, or n/(C·n_c).",
        choices=("none", "balanced"),
    )
    weights_normalised: bool = _option(
        False,
        "Divide the labels' loss by the sum of its class weights, as PyTorch does, instead of by"
        " the images.",
    )
    label_smoothing: float = _option(
        0.0, "Share of each label that is spread over all classes alike.", BELOW_ONE
    )
    augment: str | None = _option(
        None, "Views of each training image.", choices=("none", "mirror", "crops", "strong")
    )
    views: int = _option(8, "Number of stored views when --augment is crops or strong.", POSITIVE)
    formats: str = _option("float32,int8", "A,B: formats of exported files, see `kerakd export`.")
    soft_labels: str | None = _option(
        None, "Folder of a soft-label store to use or make, instead of the cache's."
    )
    verify_soft_labels: int = _option(
        0, "Recompute so many random soft labels first and compare.", NOT_NEGATIVE
    )
    label_workers: int = _option(
        1,
        "Processes that compute new soft labels, by Ray (extra ray); on the cluster of RAY_ADDRESS"
        " if that is set.",
        POSITIVE,
    )
    seed: int = _option(0, "Of weights, order, dropout and views.", NOT_NEGATIVE)
    devices: int = _option(
        1, "GPUs to train on, each with its share of every batch (tf.distribute).", POSITIVE
    )
    precision: str = _option("auto", "Arithmetic: auto picks by the hardware.", choices=PRECISIONS)

    def __post_init__(self) -> None:
        for name, spec in fields().items():
            _check(name, spec, getattr(self, name), "")
        if self.freeze_until and not (self.start_from or self.keep_weights):
            raise ConfigError(
                f"freeze_until={self.freeze_until!r} would freeze weights that learnt nothing: give"
                " start_from, a trained model, or keep_weights, too."
            )

    def effective(self) -> Config:
        """The same with the recipe's values in place of None."""
        recipe = self.recipe or ("quick" if self.data == "faces" else "best")
        missing = {
            name: value for name, value in RECIPES[recipe].items() if getattr(self, name) is None
        }
        return dataclasses.replace(self, **missing, recipe=recipe)

    @property
    def teachers(self) -> list[str]:
        """The names of the teachers, at least one."""
        return (self.teacher or self.default_teacher).split(SEPARATOR)

    @property
    def default_teacher(self) -> str:
        """The architecture that is trained as teacher where none is given: of the size that the
        recipe has time for.
        """
        return "B" if self.recipe == "quick" else "resemotenet"


def fields() -> dict[str, dataclasses.Field]:
    """All options by name."""
    return {spec.name: spec for spec in dataclasses.fields(Config)}


def kind(name: str) -> type:
    """The type of an option's value: str, int, float or bool."""
    hint = _hints()[name]
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


@functools.cache
def _hints() -> dict[str, Any]:
    return typing.get_type_hints(Config)


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _check(name: str, spec: dataclasses.Field, value: Any, where: str) -> None:
    if value is None and spec.default is None:
        return
    wanted = kind(name)
    fits = isinstance(value, (int, float) if wanted is float else wanted)
    if not fits or (isinstance(value, bool) and wanted is not bool):
        raise ConfigError(f"{name}{where} must be {_KINDS[wanted]}. Received: {name}={value!r}.")
    # Of whole numbers too large for a float, too.
    if wanted is float and not abs(value) < math.inf:
        raise ConfigError(f"{name}{where} must be a finite number. Received: {name}={value!r}.")
    check = spec.metadata["check"]
    if check and not check[0](value):
        raise ConfigError(f"{name}{where} must be {check[1]}. Received: {name}={value!r}.")


def load(path: str | Path) -> dict[str, Any]:
    """Read the options in a TOML file.

    Raises:
        ConfigError: no such file, no TOML, an unknown key (named, with the nearest known one) or a
            bad value.
    """
    try:
        values = read_toml(read_text(path))
    except FileNotFoundError as error:
        raise ConfigError(f"No configuration file at {path}: check the path.") from error
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path} can't be read as TOML: {error}.") from error
    # config.toml of a run folder also tells where it came from.
    values.pop("made_with", None)
    known = fields()
    for name, value in values.items():
        if name not in known:
            flags = {spec.metadata["flag"]: option for option, spec in known.items()}
            near = [flags[name]] if name in flags else difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
            raise ConfigError(f"Unknown option {name!r} in {path}: {hint}")
        _check(name, known[name], value, f" in {path}")
    return values


def merged(path: str | Path | None, given: Mapping[str, Any]) -> Config:
    """The options of a TOML file, if any, overridden by those given on the command line.

    Raises:
        ConfigError: as `load`; or the file names code that the user neither names nor trusts.
    """
    values = load(path) if path is not None else {}
    _require_trust(path, {name: text for name, text in values.items() if name not in given})
    return Config(**{**values, **given})


def code_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the modules whose code runs with these options, by what names them."""
    parts = (
        part
        for name, value in options.items()
        if value and fields()[name].metadata["runs_code"]
        for part in value.split(SEPARATOR)
    )
    return {part: named[0] for part in parts if (named := trust.code(part))}


def _require_trust(path: str | Path | None, values: Mapping[str, Any]) -> None:
    """A file may come from anyone, so that it names code is not enough to run it."""
    for source, module in code_of(values).items():
        if not trust.is_trusted(module):
            raise ConfigError(
                f"{path} names code to run, {source!r}: give --trust-module {module}, or the option"
                " itself, if you would run that code yourself."
            )


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Every option with its value in effect, by name, of those that are given."""
    return dataclasses.asdict(Config(**values).effective())


def dump(options: Mapping[str, Any], made_with: Mapping[str, str]) -> str:
    """TOML text of all options that have a value, and a table of what made them."""
    lines = [f"{name} = {_toml(value)}" for name, value in options.items() if value is not None]
    lines += [
        "",
        "[made_with]",
        *(f"{_toml(name)} = {_toml(value)}" for name, value in made_with.items()),
    ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # All of JSON's escapes are TOML's; DEL alone must be escaped in TOML only.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def numbers(name: str, text: str | None, separator: str, count: int, number: type) -> tuple | None:
    """Parse `count` numbers, e.g. 64x64x1 or -1,1; None stays None.

    Raises:
        ConfigError: it is something else.
    """
    if text is None:
        return None
    try:
        parsed = tuple(number(part) for part in text.split(separator))
    except ValueError:
        parsed = ()
    if len(parsed) != count:
        raise ConfigError(
            f"{name} must be {count} numbers separated by {separator!r}. Received: {name}={text!r}."
        )
    return parsed
