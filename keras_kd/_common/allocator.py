"""Keep freed memory in the process instead of asking the system for it again in every operation.

By default glibc gives every large buffer back to the system as soon as it is freed. A training
step allocates its feature maps anew, so the kernel has to clear the same pages again and again.
"""

from __future__ import annotations

import ctypes
import os

from keras_kd.errors import ConfigError

SWITCH = "KERAKD_ALLOCATOR"
# Parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER = -1
# More than one heap of a thread (64 MiB), so that heaps that are free for a moment are kept, too.
_PAD = 256 * 2**20


def tune_allocator() -> bool:
    """Make glibc keep freed memory; call it once, before the first training or prediction.

    `kerakd` calls it by itself; importing keras_kd does not. Results stay the same. The process
    holds its peak memory until it ends. The environment variable `KERAKD_ALLOCATOR=default`
    leaves the allocator as it is; `KERAKD_ALLOCATOR=keep` is the same as not setting it.

    Returns:
        True if the settings are made, False with `KERAKD_ALLOCATOR=default` and where the C
        library is not glibc.

    Raises:
        ConfigError: `KERAKD_ALLOCATOR` has another value.
    """
    chosen = os.environ.get(SWITCH, "keep")
    if chosen not in ("default", "keep"):
        raise ConfigError(f"{SWITCH} must be default or keep. Received: {SWITCH}={chosen!r}.")
    if chosen == "default" or not _has_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # A buffer with a mapping of its own goes back to the system when it is freed: none gets one.
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _PAD))
    return all(mallopt(parameter, value) for parameter, value in settings)


def _has_glibc() -> bool:
    return "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})
