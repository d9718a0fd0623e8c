"""The user's statements about model files, as text on the command line or in a configuration file.

A statement such as `--range 0,1` applies to every file without its own metadata, and `--range
b.keras=0,1` to one of several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_kd.config import listed_names, numbers
from keras_kd.datasets import class_names, pixel_values
from keras_kd.errors import ConfigError
from keras_kd.models.spec import OUTPUTS
from keras_kd.runtimes import stored_spec
from keras_kd.runtimes.stated import Stated

OPTIONS = ("input", "range", "mean", "std", "channel_order", "output", "classes", "head")


@dataclass(frozen=True)
class Statements:
    """Parsed statements about some models.

    Attributes:
        models: their files, as they were given.
        for_all: text by option, for files without their own metadata.
        for_one: text by option, for each model by its file.
        prefix: prefix of the options' names, e.g. "teacher_".
    """

    models: tuple[str, ...]
    for_all: Mapping[str, str]
    for_one: Mapping[str, Mapping[str, str]]
    prefix: str = ""

    def names(self) -> list[str]:
        """The names of the options that were given."""
        given = {*self.for_all, *(option for texts in self.for_one.values() for option in texts)}
        return [f"{self.prefix}{option}" for option in OPTIONS if option in given]

    def of(self, model: str | Path) -> Stated:
        """Return the statements about one of the models."""
        described_alone = len(self.models) > 1 and stored_spec.has_spec(model)
        shared = {} if described_alone else self.for_all
        return _parsed({**shared, **self.for_one.get(str(model), {})}, self.prefix)


def parse(
    models: Sequence[str], given: Mapping[str, Sequence[str] | None], prefix: str = ""
) -> Statements:
    """Parse the texts of the options.

    Args:
        models: the files that they may apply to.
        given: TEXT or MODEL=TEXT, by name of OPTIONS.
        prefix: prefix of the options' names, e.g. "teacher_".

    Returns:
        The statements.

    Raises:
        ConfigError: a text has the wrong form, names no model, or is the second for one model.
    """
    for_all: dict[str, str] = {}
    for_one: dict[str, dict[str, str]] = {}
    for option in OPTIONS:
        for entry in given.get(option) or ():
            model, _, text = entry.rpartition("=")
            if model and model not in models:
                raise ConfigError(
                    f"{prefix}{option} {entry}: {model} is none of the models "
                    f"({', '.join(models)}); write MODEL=… with one of them."
                )
            stated = for_one.setdefault(model, {}) if model else for_all
            if option in stated:
                raise ConfigError(
                    f"{prefix}{option} is given twice{model and f' for {model}'}, as"
                    f" {stated[option]} and {text}: give it once, or MODEL=VALUE for each of"
                    " several models."
                )
            stated[option] = text
    found = Statements(tuple(models), for_all, for_one, prefix)
    for texts in ({}, *for_one.values()):
        _parsed({**for_all, **texts}, prefix)
    return found


def _parsed(texts: Mapping[str, str], prefix: str) -> Stated:
    output, classes = texts.get("output"), texts.get("classes")
    if output not in (None, *OUTPUTS):
        raise ConfigError(f"{prefix}output must be logits or probabilities. Received: {output}.")
    names = listed_names(classes) if classes is not None else None
    if names is not None and (
        len(names) < 2 or not all(names) or not class_names.are_mostly_different(names)
    ):
        raise ConfigError(
            f"{prefix}classes must be two names or more, separated by commas, nine tenths of them"
            f" different at least. Received: {classes}."
        )
    return Stated(
        numbers(f"{prefix}input", texts.get("input"), "x", 3, int),
        pixel_values.from_parts(
            numbers(f"{prefix}range", texts.get("range"), ",", 2, float),
            _of_channels(f"{prefix}mean", texts.get("mean")),
            _of_channels(f"{prefix}std", texts.get("std")),
            texts.get("channel_order"),
        ),
        output,
        names,
        texts.get("head"),
    )


def _of_channels(name: str, text: str | None) -> tuple[float, ...] | None:
    """One number, or one a channel."""
    return None if text is None else numbers(name, text, ",", 1 + text.count(","), float)
