"""The exceptions of keras_kd.

Every message is one sentence or two: what happened, where, what was expected
and received, and what to do about it.

    KerasKDError            everything below; `exit_code` is what the command line returns
    ├── ConfigError         an option or a configuration file is wrong
    ├── DataError           a data set, an image or a table can't be used
    ├── ModelError          a model or a weights file can't be used
    ├── TrainingError       training can't go on (NaN in the loss, lost state)
    ├── ExportError         a model can't be converted, or the file failed its checks
    └── OutputError         a file or folder can't be written
"""

from __future__ import annotations


class KerasKDError(Exception):
    """Anything this library refuses with a message for its user; can be mended by the user."""

    exit_code = 2


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
