"""The exceptions of keras_kd.

A message has one or two sentences: what happened, where, what was expected and received, and what
to do about it.

    KerasKDError            everything below; `exit_code` is what the command line returns
    ├── ConfigError         an option or a configuration file is wrong
    ├── DataError           a data set, an image or a table can't be used
    ├── ModelError          a model or a weights file can't be used
    ├── TrainingError       training can't go on (NaN in the loss, lost state)
    ├── ExportError         a model can't be converted, or the file failed its checks
    └── OutputError         a file or folder can't be written
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_kd._common.text import printable

LONGEST = 2000


class KerasKDError(Exception):
    """Anything that this library refuses with a message, and that its user can mend.

    A message often quotes the content of a file. It is therefore one line of at most LONGEST
    characters without control sequences for a terminal: characters that are not printable are
    escaped, and the middle of a longer message is left out.
    """

    exit_code = 2

    def __init__(self, message: str = "") -> None:
        line = printable(message)
        super().__init__(
            line if len(line) <= LONGEST else f"{line[: LONGEST - 503]}...{line[-500:]}"
        )


class ConfigError(KerasKDError):
    """An option or a configuration file is wrong."""


class DataError(KerasKDError):
    """A data set, an image or a table can't be used."""


class ModelError(KerasKDError):
    """A model or a weights file can't be used."""


class TrainingError(KerasKDError):
    """Training can't go on."""


class ExportError(KerasKDError):
    """A model can't be converted, or the converted file failed its checks."""


class OutputError(KerasKDError):
    """A file or folder can't be written."""


@contextmanager
def kept(errors: dict[str, DataError] | None, name: str) -> Iterator[None]:
    """Keep a DataError of the block by a name, so that one of many inputs doesn't stop the others.

    Args:
        errors: takes the error; None: it is raised.
        name: of the input.

    Yields:
        Nothing.

    Raises:
        DataError: the error of the block, if `errors` is None.
    """
    try:
        yield
    except DataError as error:
        if errors is None:
            raise
        errors[name] = error


@contextmanager
def of_file(path: str | Path) -> Iterator[None]:
    """Name the file in a ModelError that does not name it.

    Args:
        path: the file.

    Yields:
        Nothing.

    Raises:
        ModelError: the error of the block, with the file's name.
    """
    try:
        yield
    except ModelError as error:
        if str(path) in str(error):
            raise
        raise ModelError(f"{path}: {error}") from error
