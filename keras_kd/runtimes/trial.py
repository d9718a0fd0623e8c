"""One image computed by a foreign model file in another process, of bounded time and memory.

Native runtimes don't check all that a file declares: a bad file can end the whole process, loop
without end or take all memory.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from keras_kd._common import quick_start
from keras_kd.errors import ModelError

try:
    import resource
except ImportError:
    # Windows, which has no such limits.
    resource = None  # type: ignore[assignment]

# What one image may take: seconds of the processor's time, bytes, and seconds by the clock, which
# other programs stretch.
SECONDS, MEMORY, CLOCK = 60, 4 * 2**30, 1200
# The exit code of a trial that has printed why it refuses the file.
REFUSED = 3


def require_survival(
    path: Path,
    runtime: str,
    module: str,
    file: Path | None = None,
    needs_keras: bool = False,
    others: Sequence[str] = (),
) -> None:
    """Have a module try a file in a process of its own, where it works within `bounded`.

    Args:
        path: the file in messages.
        runtime: what runs it, in messages.
        module: run with the file, SECONDS, MEMORY and `others` as its arguments.
        file: what is tried; None for the same as `path`.
        needs_keras: whether the module imports Keras.
        others: further arguments.

    Raises:
        ModelError: the trial refused the file, took too long, or was ended by the system.
    """
    file = file or path
    start = [quick_start.__name__] if needs_keras else []
    arguments = [str(file), str(SECONDS), str(MEMORY), *others]
    command = [sys.executable, "-P", "-m", *start, module, *arguments]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=CLOCK)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{path} takes {runtime} more than {CLOCK} s for one image: give a smaller model, or"
            " try again when the machine is less busy."
        ) from error
    if tried.returncode == REFUSED:
        raise ModelError(tried.stdout.decode(errors="replace").replace(str(file), str(path)))
    if tried.returncode:
        lines = tried.stderr.decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit code {tried.returncode}"
        raise ModelError(f"{path} {_reason(tried.returncode, last, runtime)}")


def _reason(code: int, last_line: str, runtime: str) -> str:
    """What the end of a trial says of the file."""
    # Windows has no signals.
    ended_by = signal.Signals(-code).name if code < 0 and resource is not None else ""
    if ended_by == "SIGXCPU":
        return (
            f"takes {runtime} more than {SECONDS} s of the processor's time for one image: give a"
            " smaller model, or one without a loop that doesn't end."
        )
    if ended_by == "SIGKILL":
        return (
            f"can't be tried: the system killed {runtime} on one image, as it does where memory"
            " runs out. Close other programs, or give a smaller model."
        )
    return (
        f"makes {runtime} fail on one image ({ended_by or last_line}): it is damaged or made to do"
        " harm, so export it again."
    )


@contextmanager
def bounded(size: int, seconds: int, memory: int) -> Iterator[None]:
    """Be a trial: bound this process' time and memory from here on, and tell a ModelError to the
    parent.

    Args:
        size: bytes of the file, which count eightfold beside `memory`.
        seconds: of the processor's time.
        memory: bytes.

    Yields:
        Nothing.
    """
    if resource is not None:
        own = resource.getrusage(resource.RUSAGE_SELF)
        end = int(own.ru_utime + own.ru_stime) + 1 + seconds
        # At the soft limit SIGXCPU tells the parent why; the hard one can't be ignored.
        _lower(resource.RLIMIT_CPU, end, end + 1)
        _lower(resource.RLIMIT_DATA, memory + 8 * size, memory + 8 * size)
    try:
        yield
    except ModelError as error:
        # Libraries write to the other stream as they end.
        sys.stdout.write(str(error))
        sys.exit(REFUSED)


def _lower(kind: int, soft: int, hard: int) -> None:
    highest = resource.getrlimit(kind)[1]
    if highest == resource.RLIM_INFINITY or highest > hard:
        resource.setrlimit(kind, (soft, hard))


@contextmanager
def memory_bounded(size: int) -> Iterator[None]:
    """Let this process take MEMORY and eight times `size` bytes more, and no more than that.

    Args:
        size: bytes of a file.

    Yields:
        Nothing.
    """
    used = _data_bytes()
    if resource is None or used is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [used + MEMORY + 8 * size, *(one for one in (soft, hard) if one >= 0)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int | None:
    """Memory of this process that counts for RLIMIT_DATA; None where the system doesn't tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kilobytes = (line.split()[1] for line in lines if line.startswith("VmData:"))
    return next((int(number) * 1024 for number in kilobytes), None)
