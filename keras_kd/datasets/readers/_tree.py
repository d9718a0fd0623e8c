"""The folders of a data set, at any depth, without what is no data: hidden files, results of runs,
links in circles.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_kd.errors import DataError

# What a split may be called on disk, in any case.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_SYSTEM = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin")
_RESULTS = ("metrics.json", "session.json", "sweep.db")
_BEGUN = ["config.toml"]  # all that a run has when it reads its data
_MODELS = (".keras", ".tflite", ".onnx")


@dataclass(frozen=True)
class Folder:
    """What lies directly in one folder, sorted by name.

    Attributes:
        path: of the folder.
        files: visible entries that are no folders, links without a target and special files among
            them.
        folders: visible folders, but for `loops`.
        hidden: how many entries are hidden or the operating system's own.
        loops: links to a folder above.
    """

    path: Path
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    hidden: int
    loops: tuple[Path, ...]

    @property
    def holds_results(self) -> bool:
        """Whether it looks like a run's folder or an exported model's; its pictures are not data."""
        names = [file.name for file in self.files]
        models = any(file.suffix in _MODELS for file in self.files)
        return models or names == _BEGUN or any(name in _RESULTS for name in names)


def listed(path: Path) -> Folder:
    """List one folder; raises OSError where it can't be read."""
    with os.scandir(path) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    visible = [entry for entry in found if not _hidden(entry.name)]
    files: list[Path] = []
    folders: list[Path] = []
    loops: list[Path] = []
    for entry in visible:
        child = path / entry.name
        # Of a link that leads nowhere `entry.is_dir` raises, `os.path.isdir` says no.
        if not (os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()):
            files.append(child)
        elif entry.is_symlink() and _leads_up(child):
            loops.append(child)
        else:
            folders.append(child)
    return Folder(path, tuple(files), tuple(folders), len(found) - len(visible), tuple(loops))


def walk(root: Path) -> Iterator[Folder]:
    """Yield `root` and every folder below it; what lies in a folder that holds results is not
    entered.
    """
    waiting = [root]
    while waiting:
        folder = listed(waiting.pop())
        yield folder
        if folder.path == root or not folder.holds_results:
            waiting += reversed(folder.folders)


def data_folders(root: Path) -> Iterator[Folder]:
    """As `walk`, without folders that hold results."""
    return (folder for folder in walk(root) if folder.path == root or not folder.holds_results)


def split_folders(path: Path) -> dict[str, Path]:
    """Return the folder of each split that has one; without any, `path` itself holds the training
    images.

    A folder without folders in it is no split's: `train` may also be a class beside `car` and
    `plane`.

    Raises:
        DataError: a split has two folders, or there are splits without train.
    """
    found: dict[str, Path] = {}
    for folder in listed(path).folders if path.is_dir() else ():
        split = split_of(folder.name)
        if split is None or not listed(folder).folders:
            continue
        if split in found:
            raise DataError(
                f"{path} has the {split} images twice, in {found[split]} and {folder}: keep one of them."
            )
        found[split] = folder
    if found and "train" not in found:
        raise DataError(
            f"{path} has no train folder beside {', '.join(sorted(folder.name for folder in found.values()))}: "
            "add it, or give a folder that holds the classes themselves."
        )
    return {split: found[split] for split in SPLIT_NAMES if split in found} or {"train": path}


def split_of(name: str) -> str | None:
    """Return the split that a folder or file of that name is of."""
    return next((split for split, names in SPLIT_NAMES.items() if name.casefold() in names), None)


def _hidden(name: str) -> bool:
    return name.startswith((".", "__")) or name.lower() in _SYSTEM


def _leads_up(link: Path) -> bool:
    target, place = Path(os.path.realpath(link)), Path(os.path.realpath(link.parent))
    return place == target or place.is_relative_to(target)
