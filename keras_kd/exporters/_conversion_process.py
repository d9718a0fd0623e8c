"""Conversions in a process of their own, which TensorFlow's calibrator and converter can end.

    python -P -m keras_kd.exporters._conversion_process IDLE_SECONDS

reads requests from stdin, one line of JSON each, and answers with lines of JSON. TensorFlow takes
seconds to import, so one process serves all conversions of its parent, until it was idle for a
while or the parent is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from keras_kd._common.collector import collect_rarely
from keras_kd._common.imports import hidden
from keras_kd.errors import ExportError
from keras_kd.exporters._layer_errors import Added

if TYPE_CHECKING:
    from keras_kd.exporters._conversion import Request

IDLE_SECONDS, LIMIT_SECONDS = 60, 1800
_lock = threading.Lock()
_running: subprocess.Popen[str] | None = None


class ConversionEnded(ExportError):
    """The process was ended by a signal or its time; `args[0]` says which, as part of a
    sentence.
    """


class _Idle(ConversionEnded):
    """The process ended by itself, without an answer."""


class ConversionRefused(ExportError):
    """The converter raised an exception; `args[0]` is its text."""


def start() -> None:
    """Start the process ahead of a conversion, so that it imports while the caller goes on."""
    with _lock:
        _process()


def convert(request: Request) -> list[Added]:
    """Write the file, run it once, and return what its operators add to the error.

    Raises:
        ConversionEnded: the process ended over it.
        ConversionRefused: the converter refuses.
    """
    try:
        return _tried(request)
    except _Idle:  # It had just begun to end when the request came; this one has just begun.
        return _tried(request)


def _tried(request: Request) -> list[Added]:
    with _lock:
        process = _process()
        # The converter can run for ever, and no exception reaches native code.
        watch = threading.Timer(LIMIT_SECONDS, process.kill)
        watch.start()
        try:
            return _asked(process, request)
        except ConversionRefused:  # which is the answer: the process is free again
            raise
        except BaseException:
            # An answer that nobody read would be taken for that of the next request.
            process.kill()
            process.wait()
            raise
        finally:
            watch.cancel()


def _process() -> subprocess.Popen[str]:
    global _running
    if _running is None or _running.poll() is not None:
        _running = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(IDLE_SECONDS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    return _running


def _asked(process: subprocess.Popen[str], request: Request) -> list[Added]:
    assert process.stdin and process.stdout
    with contextlib.suppress(
        BrokenPipeError
    ):  # then the answer is empty, and the exit code has the reason
        process.stdin.write(json.dumps(asdict(request)) + "\n")
        process.stdin.flush()
    works = False
    for line in process.stdout:
        answer = json.loads(line)
        if "refused" in answer:
            raise ConversionRefused(answer["refused"])
        if "errors" in answer:
            return [Added(**error) for error in answer["errors"]]
        works = works or "works" in answer
    code = process.wait()
    if works:  # The file is good, only its errors could not be looked into.
        return []
    if code == 0:
        raise _Idle("the end of its process, which had nothing to do for too long")
    raise ConversionEnded(
        signal.Signals(-code).name if code < 0 else f"the exit code {code} of its process"
    )


def _serve(requests: IO[str], answers: IO[str], idle: float) -> None:
    """Answer requests until there are no more, or was none for `idle` seconds."""
    collect_rarely()
    # TensorFlow imports Keras, if it is there, and its converter needs it for Keras models alone.
    with hidden("keras", "sklearn", "matplotlib"):
        from keras_kd.exporters import _conversion

    def tell(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    for line in _until_idle(requests, idle):
        request = _conversion.Request(**json.loads(line))
        try:
            _conversion.convert(request)
            _conversion.run_once(request)
        except Exception as error:  # the converter's own exceptions have no public name
            tell(refused=str(error) or type(error).__name__)
            continue
        tell(works=True)
        tell(errors=[asdict(error) for error in _conversion.errors(request)])


def _until_idle(requests: IO[str], idle: float) -> Iterator[str]:
    while select.select([requests], [], [], idle)[0]:
        line = requests.readline()
        if not line:
            return
        yield line


def main() -> None:
    """Serve the parent; what libraries print goes nowhere."""
    # The converter prints to descriptor 1, between the answers.
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and decides
    _serve(sys.stdin, answers, float(sys.argv[1]))


if __name__ == "__main__":
    main()
