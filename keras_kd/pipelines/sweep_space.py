"""What a sweep varies: the options and values that a user names, as Optuna's distributions."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from keras_kd import config as configuration
from keras_kd.errors import ConfigError
from keras_kd.pipelines import trial_queue
from keras_kd.pipelines.trial_queue import load_optuna

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Section IV of arXiv 2501.18538: its study of sensitivity.
PAPER = ("temperature=1,2,3,4,5", "alpha=0.1,0.15,0.2")
# What belongs to a whole sweep.
FIXED = {
    "data",
    "skip_bad_rows",
    "image_size",
    "baseline",
    "formats",
    "soft_labels",
    "verify_soft_labels",
    "label_workers",
    "devices",
    "teacher_input",
    "teacher_range",
    "teacher_mean",
    "teacher_std",
    "teacher_channel_order",
    "teacher_head",
    "teacher_output",
    "teacher_classes",
    "precision",
    "unlabeled",
    "callback",
    "log",
}


def space(texts: Iterable[str]) -> dict[str, BaseDistribution]:
    """Parse what to vary.

    Args:
        texts: KEY=A,B,C for a choice, KEY=A;B;C for one of values with commas, KEY=["A","B"] as a
            TOML list for any values, KEY=LOW:HIGH for a range, KEY=LOW:HIGH:log for a range on a
            logarithmic scale. In options that may be given several times, as `teacher`, A;B is one
            value, in a TOML list also ["A","B"].

    Returns:
        Optuna's distributions by option.

    Raises:
        ConfigError: an option is unknown, or can't have these values. The message names them.
    """
    dimensions = [_dimension(text) for text in texts]
    distributions = dict(dimensions)
    if len(distributions) < len(dimensions):
        names = [name for name, _ in dimensions]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"--vary names {twice} twice: give all its values at once.")
    for name, distribution in distributions.items():
        values = trial_queue.choices(distribution)
        # The ends of a range stand for what lies between: options are checked by bounds.
        ends = () if values else (distribution.low, distribution.high)  # type: ignore[attr-defined]
        for value in values or ends:
            configuration.merged(None, {name: value})
        if repeated := [one for one in values if values.count(one) > 1]:
            raise ConfigError(f"--vary names {name}={repeated[0]} twice: give each value once.")
    return distributions


def _dimension(text: str) -> tuple[str, BaseDistribution]:
    distributions = load_optuna().distributions
    key, _, values = text.partition("=")
    flags = {
        spec.metadata["flag"]: name
        for name, spec in configuration.fields().items()
        if spec.metadata["flag"]
    }
    name = flags.get(key, key).replace("-", "_")
    if name not in configuration.fields() or name in FIXED:
        raise ConfigError(
            f"A sweep can't vary {key!r}: give an option of the student's training, as"
            " temperature=1,2."
        )
    kind = configuration.kind(name)
    # In options that may be given several times, semicolons stand within a value.
    is_several = configuration.fields()[name].metadata["several"]
    between = ";" if ";" in values and not is_several else ","
    if values.lstrip().startswith("["):
        return name, distributions.CategoricalDistribution(_listed(name, values))
    try:
        if ":" not in values or kind is str:  # A text may have one itself, as net.py:build.
            return name, distributions.CategoricalDistribution(
                [_value(kind, part.strip()) for part in values.split(between)]
            )
        low, high, *log = values.split(":")
        made = {int: distributions.IntDistribution, float: distributions.FloatDistribution}[kind]
        if log not in ([], ["log"]):
            raise ValueError(values)
        return name, made(kind(low), kind(high), log=bool(log))
    except (ValueError, KeyError) as error:
        raise ConfigError(
            "--vary takes KEY=A,B,C, KEY=A;B;C or, for numbers, KEY=LOW:HIGH or KEY=LOW:HIGH:log."
            f" Received: {text!r}."
        ) from error


def _listed(name: str, text: str) -> list[Any]:
    """The values in a TOML list, each of which may be a list itself."""
    try:
        found = tomllib.loads(f"values = {text}")["values"]
    except tomllib.TOMLDecodeError:
        found = []
    values = [
        configuration.joined(name, one, "--vary") if isinstance(one, list) else one for one in found
    ]
    if not values or not all(isinstance(one, (str, int, float)) for one in values):
        raise ConfigError(
            f"--vary {name} begins with a bracket and is no TOML list of texts or numbers: write it"
            f' as \'{name}=["A","B"]\'. Received: {text!r}.'
        )
    return values


def _value(kind: type, text: str) -> Any:
    if kind is bool:
        return {"true": True, "false": False}[text]
    return kind(text)
