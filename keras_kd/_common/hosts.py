"""This process among those that train together, one a device, by Keras' distribution API on JAX."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from keras_kd.errors import ConfigError

HEAD = "KERAKD_HEAD"  # HOST:PORT where process 0 listens
# Where a process finds its number: by hand, in Slurm, in an indexed job of Kubernetes.
NUMBERS = ("KERAKD_HOST", "SLURM_PROCID", "JOB_COMPLETION_INDEX")
WAIT_FOR_HEAD = 7 * 24 * 3600  # seconds in which the head trains a teacher and labels images
SILENCE = 60  # seconds after which a process counts as lost


@dataclass(frozen=True)
class Place:
    """Where a process stands.

    Attributes:
        number: from 0; process 0 is the head.
        count: the number of processes.
        head: the address of process 0, HOST:PORT.
    """

    number: int
    count: int
    head: str


def place(count: int, environment: Mapping[str, str] = os.environ) -> Place:
    """Find this process's place in its environment.

    Args:
        count: the number of processes.
        environment: variables by name.

    Returns:
        The place.

    Raises:
        ConfigError: a variable is missing or wrong.
    """
    name = next((name for name in NUMBERS if name in environment), NUMBERS[0])
    number, head = environment.get(name, ""), environment.get(HEAD, "")
    if not (number.isdecimal() and int(number) < count):
        raise ConfigError(
            f"With hosts={count} each process needs its number from 0 to {count - 1} in one of"
            f" {', '.join(NUMBERS)}. Received: {name}={number!r}."
        )
    host, _, port = head.rpartition(":")
    if not (host and port.isdecimal()):
        raise ConfigError(
            f"With hosts={count} each process needs the address of process 0 in {HEAD}, as"
            f" 10.0.0.1:1234. Received: {HEAD}={head!r}."
        )
    return Place(int(number), count, head)


def join(own: Place, seed: int) -> None:
    """Connect this process with the others, and let Keras divide each batch among them.

    Args:
        own: this process's place.
        seed: seed of Keras' random numbers, the same in all processes.

    Raises:
        ConfigError: Keras does not run on JAX, or a process has several devices.
    """
    import keras

    if keras.backend.backend() != "jax":
        raise ConfigError("Several hosts need Keras on JAX: set KERAS_BACKEND=jax.")
    import jax

    jax.distributed.initialize(
        own.head,
        own.count,
        own.number,
        initialization_timeout=WAIT_FOR_HEAD,
        heartbeat_timeout_seconds=SILENCE,
    )
    # JAX takes it for a notice, and would go on.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if jax.local_device_count() != 1:
        raise ConfigError(
            f"Each process trains on one device, and this one sees {jax.local_device_count()}:"
            " start one process a GPU, each with its own CUDA_VISIBLE_DEVICES."
        )
    keras.utils.set_random_seed(seed)
    # Each process brings its own part of a batch.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


def count() -> int:
    """Return how many processes train together; 1 before `join`."""
    return sys.modules["jax"].process_count() if _joined() else 1


def number() -> int:
    """Return this process's number among them; 0 before `join`."""
    return sys.modules["jax"].process_index() if _joined() else 0


def wait_for_all(what: str) -> None:
    """Wait until all processes are here; alone, do nothing.

    Args:
        what: name of the place in the program, the same in all processes.
    """
    if _joined():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)


def _joined() -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and keras.distribution.distribution() is not None
