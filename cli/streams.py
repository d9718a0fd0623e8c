"""Standard streams that are closed, full, of another encoding, or have lost their reader."""

from __future__ import annotations

import errno
import os
import sys

import click

from keras_kd._common import stderr
from keras_kd._common.text import printable
from keras_kd.errors import OutputError


def prepare() -> None:
    """Make stdin, stdout and stderr usable: a closed one becomes nowhere, any letter has an escape,
    and a stderr that nobody reads any more ends nothing.

    A closed stream's number would be given to the next file that is opened, which printing would
    then write into.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # Otherwise the next file to be opened would get this descriptor, and with it the
            # output.
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
        elif number and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")
    stderr.outlive_its_reader()


def line(text: str, err: bool = False) -> None:
    """Print one line on stdout, or stderr; no name in it can drive the terminal."""
    # By its default click writes past a stderr of ASCII, into the stream below.
    click.echo(printable(text), file=sys.stderr if err else None)


def finish() -> None:
    """Write out what stdout holds still; nothing more is to be printed.

    Raises:
        OutputError: the system refuses it, as on a full disk. A reader that has gone, as of
            `| head -1`, is no error.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        refused(error)


def refused(error: OSError) -> None:
    """Leave a stdout that the system refuses, and say why, unless its reader has gone."""
    # Or Python would try again as it ends, and complain.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    if error.errno != errno.EPIPE:
        raise OutputError(
            f"Can't write to standard output ({error.strerror}): send it elsewhere."
        ) from error
