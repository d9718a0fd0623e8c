"""The options of a run: declared in `_config.py`, read from TOML files and the command line here."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_kd._common import trust
from keras_kd._common.checked_files import read_text, read_toml
from keras_kd.config._config import SEPARATOR, Config, fields, kind
from keras_kd.config._config import TENSORBOARD as TENSORBOARD
from keras_kd.config._options import require
from keras_kd.config._text import dump as dump
from keras_kd.config._text import numbers as numbers
from keras_kd.config.recipes import RECIPES as RECIPES
from keras_kd.errors import ConfigError


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
        require(name, known[name], kind(name), value, f" in {path}")
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
