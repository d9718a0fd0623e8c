"""The teacher's pass spread over processes and hosts by Ray Data; the store is the same as that of
one process.

The driver keeps the store and distributes its missing chunks. Actors, each with its own teacher,
map the images from the store's folder and return logits. A chunk whose actor dies is computed again
by another. Only logits are transferred: 4 bytes each. Of images in shards the driver distributes
the shards' numbers alone; actors read the shards and write their stores.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from keras_kd._common.files import written_whole
from keras_kd.errors import ConfigError
from keras_kd.teachers.soft_label_pass import Compute, shown
from keras_kd.teachers.views import AtSizes, Images, Views

# Ray Data's own tasks need room beside the actors, or it waits for ever.
SPARE = 2
Saved = Path | tuple[Path, ...]  # of images, or of those at each size


def by_workers(workers: int, folder: Path) -> Compute:
    """Return a function for `soft_label_pass.fill(compute=...)` that uses several actors.

    Args:
        workers: number of actors, each with one GPU if the cluster has GPUs, else one CPU.
        folder: folder of the store. Every host must see it, because the actors read the images
            there as `images.npy`, or `images-0.npy` and so on by size, while they work.

    Returns:
        The function.

    Raises:
        ConfigError: Ray is not installed.
    """

    def compute(
        images: Images,
        views: Views,
        teacher: Callable[[Images], np.ndarray],
        chunks: Sequence[range],
    ) -> Iterator[np.ndarray]:
        with _ray(workers) as ray, _saved(images, folder.resolve()) as saved:
            # In the order of the chunks, as the store's progress is one number.
            ray.data.DataContext.get_current().execution_options.preserve_order = True
            rows = [{"start": chunk.start, "stop": chunk.stop} for chunk in chunks]
            for batch in _mapped(ray, rows, workers, _Actor, (saved, views, teacher)):
                yield batch["outputs"]

    return compute


def shards_by_workers(
    workers: int, numbers: Sequence[int], label: Callable[[int], bool]
) -> Iterator[tuple[int, bool]]:
    """Label shards by several actors, each of which writes the stores of its shards itself.

    Args:
        workers: as for `by_workers`.
        numbers: those of the shards, at least one.
        label: labels a shard, or finds that it is labelled already; it is pickled for the actors.

    Yields:
        The number of a shard that is labelled now, and what `label` returned.

    Raises:
        ConfigError: Ray is not installed.
    """
    with _ray(workers) as ray:
        rows = [{"number": number} for number in numbers]
        for batch in _mapped(ray, rows, workers, _ShardActor, (label,)):
            yield from zip(batch["number"].tolist(), batch["labelled"].tolist(), strict=True)


def _mapped(
    ray: ModuleType, rows: list[dict[str, int]], workers: int, actor: type, given: tuple[Any, ...]
) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of a pool of actors for each row; a row whose actor dies is computed again."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    resource = "num_gpus" if ray.cluster_resources().get("GPU") else "num_cpus"
    outputs = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        actor,
        fn_constructor_args=given,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
        batch_size=None,
        **{resource: 1},
    )
    yield from outputs.iter_batches(batch_size=None)


class _ShardActor:
    """One process at work on whole shards."""

    def __init__(self, label: Callable[[int], bool]) -> None:
        self._label = label

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        number = int(batch["number"][0])
        return {"number": batch["number"], "labelled": np.array([self._label(number)])}


class _Actor:
    """One process at work: its images and its teacher, opened once."""

    def __init__(self, saved: Saved, views: Views, teacher: Callable[[Any], np.ndarray]) -> None:
        self._images, self._views, self._teacher = _opened(saved), views, teacher

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        chunk = range(int(batch["start"][0]), int(batch["stop"][0]))
        return {"outputs": self._teacher(shown(self._images, self._views, chunk))}


def _opened(saved: Saved) -> Any:
    if isinstance(saved, Path):
        return np.load(saved, mmap_mode="r")
    return AtSizes(tuple(np.load(path, mmap_mode="r") for path in saved))


@contextmanager
def _saved(images: np.ndarray | AtSizes, folder: Path) -> Iterator[Saved]:
    """Keep the images in a file, or one a size, for as long as the block runs."""
    several = isinstance(images, AtSizes)
    arrays = images.arrays if isinstance(images, AtSizes) else (images,)
    paths = [folder / f"images{f'-{number}' * several}.npy" for number in range(len(arrays))]
    with ExitStack() as stack:
        for path, array in zip(paths, arrays, strict=True):
            with written_whole(path) as temporary:
                np.save(temporary, array)
            stack.callback(path.unlink)
        yield tuple(paths) if several else paths[0]


@contextmanager
def _ray(workers: int) -> Iterator[ModuleType]:
    """Ray on the cluster that RAY_ADDRESS names, or on one of this machine that ends with the
    block.
    """
    # Ray reports its use to its makers where nobody tells it not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here = "RAY_ADDRESS" not in os.environ
    if here:
        # Despite its name it makes Ray on Linux, too, listen to this machine alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError("Several label_workers need Ray: pip install 'keras-kd[ray]'.") from error
    # CPUs as Ray counts them, not as there are.
    own: dict[str, Any] = {
        # Never a cluster that happens to run on this machine.
        "address": "local",
        "num_cpus": workers + SPARE,
        "include_dashboard": False,
    }
    # Its workers look for modules first in the folder that it is started from: not the user's.
    with chdir(Path(sys.executable).parent):
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **(own if here else {}))
    try:
        yield ray
    finally:
        ray.shutdown()
