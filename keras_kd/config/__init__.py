"""The options of a run: declared in `_config.py`, read from TOML files and the command line
here.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_kd._common import trust
from keras_kd._common.checked_files import read_text, read_toml
from keras_kd._common.paths import advice
from keras_kd._common.text import plain_reason, quoted
from keras_kd.config._config import Config
from keras_kd.config._options import SEPARATOR as SEPARATOR
from keras_kd.config._options import require, separated, type_of
from keras_kd.config._text import dump as dump
from keras_kd.config._text import listed as listed
from keras_kd.config._text import listed_names as listed_names
from keras_kd.config._text import numbers as numbers
from keras_kd.config.recipes import RECIPES as RECIPES
from keras_kd.errors import ConfigError

# Options of commands that no file holds.
_OF_COMMANDS = ("config", "json", "out", "resume")


def fields() -> dict[str, dataclasses.Field]:
    """Return the dataclass field of every option, by name."""
    return {spec.name: spec for spec in dataclasses.fields(Config)}


def kind(name: str) -> type:
    """Return the type of an option's value.

    Args:
        name: of the option.

    Returns:
        str, int, float or bool.
    """
    return type_of(Config, name)


def load(path: str | Path) -> dict[str, Any]:
    """Read the options in a TOML file.

    Args:
        path: the TOML file, e.g. the config.toml of a run folder.

    Returns:
        The values by option name.

    Raises:
        ConfigError: the file does not exist or is not TOML, or it has an unknown key or a bad
            value. The message names the key and the nearest known one.
    """
    try:
        text = read_text(path)
        values = read_toml(text)
    except FileNotFoundError as error:
        raise ConfigError(f"No configuration file at {path}: {advice(path)}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path} can't be read as TOML: {error}. Write each option in a line like `epochs = 3`,"
            f' and texts in quotes, like `data = "photos"`{_of_backslashes(text)}.'
        ) from error
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path} can't be read as TOML: {plain_reason(error)}.") from error
    # A run folder's config.toml has a table of versions, which are not options.
    values.pop("made_with", None)
    known = fields()
    for name, value in values.items():
        if name not in known:
            flags = {spec.metadata["flag"]: option for option, spec in known.items()}
            near = [flags[name]] if name in flags else difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
            if name in _OF_COMMANDS:
                hint = f"it is given on the command line, --{name}."
            if isinstance(value, dict):
                hint = "options stand in no table; remove the line in brackets."
            raise ConfigError(f"Unknown option {name!r} in {path}: {hint}")
        if isinstance(value, list):
            values[name] = value = joined(name, value, str(path))
        require(name, known[name], kind(name), value, f" in {path}")
    return values


def _of_backslashes(text: str) -> str:
    """What to know of Windows' paths, whose backslashes mean something else in double quotes."""
    return ", or a path with \\ in single ones, like `data = 'C:\\photos'`" * ("\\" in text)


def joined(name: str, parts: list, where: str) -> Any:
    """Return a list's parts as the one text that the option holds.

    Args:
        name: of the option.
        parts: the list.
        where: what errors call the place that the list is from.

    Returns:
        The text; the list itself for an option that takes none.

    Raises:
        ConfigError: a part is no text, or holds what separates the parts.
    """
    spec = fields()[name]
    if not (spec.metadata["several"] or spec.metadata["is_list"]):
        return parts
    texts, between, kinds = parts, SEPARATOR, "texts"
    alone = len(texts) == 1  # that text is the option's, whatever it holds
    # Of several models, MODEL=A,B is the list of one.
    of_models = spec.metadata["several"] and any("=" in str(part) for part in parts)
    if spec.metadata["is_list"] and not of_models:
        texts = [str(part) if type(part) in (int, float) else part for part in parts]
        between, kinds = ",", "texts or numbers without commas"
    is_quoted = between == "," and spec.metadata["is_quoted"]
    if not texts or not all(
        _is_text(one) and (alone or is_quoted or between not in one) for one in texts
    ):
        raise ConfigError(
            f"{spec.name} in {where} must be a text or a list of {kinds}. Received:"
            f" {spec.name}={parts!r}."
        )
    return between.join(map(quoted, texts) if is_quoted and not alone else texts)


def _is_text(part: Any) -> bool:
    return isinstance(part, str) and bool(part.strip())


def merged(path: str | Path | None, given: Mapping[str, Any]) -> Config:
    """Combine the options of a TOML file with those of the command line, which take precedence.

    Args:
        path: the TOML file; None for none.
        given: values by option name, as the user gave them.

    Returns:
        The options, checked; the recipe's values are not filled in yet.

    Raises:
        ConfigError: as `load`; or the file names code that the user neither names nor trusts.
    """
    values = load(path) if path is not None else {}
    _require_trust(path, {name: text for name, text in values.items() if name not in given})
    return Config(**{**values, **given})


def code_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the modules whose code these options run.

    Args:
        options: values by option name.

    Returns:
        The module's name by the part of the option that names it.
    """
    parts = (
        part
        for name, value in options.items()
        if value and fields()[name].metadata["runs_code"]
        for part in separated(value)
    )
    return {part: named[0] for part in parts if (named := trust.code(part))}


def _require_trust(path: str | Path | None, values: Mapping[str, Any]) -> None:
    """Refuse code that only a file names: a file may come from anyone."""
    for source, module in code_of(values).items():
        if not trust.is_trusted(module):
            raise ConfigError(
                f"{path} names code to run, {source!r}: if you trust that code, give --trust-module"
                f" {module}, or give the option itself on the command line."
            )


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option's effective value.

    Args:
        values: the options that are given, by name.

    Returns:
        All options by name, with defaults and the recipe's values filled in.
    """
    return dataclasses.asdict(Config(**values).effective())
