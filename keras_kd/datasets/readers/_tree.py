"""The folders of a data set, at any depth, without what is no data: hidden files, results of runs,
links in circles.
"""

from __future__ import annotations

import filecmp
import functools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_kd._common import run_files
from keras_kd._common.files import LOCK
from keras_kd.errors import DataError

# What a split may be called on disk, in any case.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
# Files of Windows, macOS, Linux and Synology's disk stations, which keep small copies of images.
_SYSTEM = (
    "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",
    "icon\r", "lost+found", "@eadir", "#recycle",
)  # fmt: skip
# As Hugging Face and TensorFlow call shards: the name, the number, of how many, the suffix.
_NUMBERED = re.compile(r"(.*)-(\d{1,6})-of-(\d{1,6})(\D.*|)", re.DOTALL)
# Files that mark the folders of runs, recordings, sweeps and stores of soft labels.
_RESULTS = (run_files.METRICS, "session.json", "sweep.db", "store.json", "progress.json")
_BEGUN = [run_files.OPTIONS]  # all that a run has when it reads its data
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
        """Whether it looks like a run's folder or an exported model's; its pictures are not
        data.
        """
        names = [file.name for file in self.files]
        models = any(file.suffix in _MODELS for file in self.files)
        begun = names == _BEGUN or (
            not names and not self.folders and (self.path / LOCK).is_file()  # a bundle's
        )
        return models or begun or any(name in _RESULTS for name in names)


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
        # For a link that leads nowhere, `entry.is_dir` raises and `os.path.isdir` returns False.
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

    A split's folder is called as the split (`Train`), or else has its name as a word (`test_set`,
    `val2017`), and has class folders in it: `train` may also be a class beside `car` and `plane`.

    Raises:
        DataError: a split has two folders, or there are splits without train.
    """
    holding = [folder for folder in listed(path).folders if listed(folder).folders]
    found: dict[str, Path] = {}
    for split, names in SPLIT_NAMES.items():
        exact = [folder for folder in holding if folder.name.casefold() in names]
        named = exact or [folder for folder in holding if split_of(folder.name) == split]
        if len(named) > 1:
            raise DataError(
                f"{path} has the {split} images twice, in {' and '.join(map(str, named))}: keep "
                "one of them."
            )
        if named:
            found[split] = _innermost(named[0])
    if found and "train" not in found:
        others = ", ".join(sorted(folder.name for folder in found.values()))
        raise DataError(
            f"{path} has no train folder beside {others}: add it, or give a folder that holds the "
            "classes themselves."
        )
    return found or {"train": path}


def other_splits(path: Path) -> list[Path]:
    """Return the folders of other splits beside `path`, if that is the folder of one by its
    name.
    """
    names = {name: split for split, names in SPLIT_NAMES.items() for name in names}
    own = names.get(path.name.casefold())
    beside = listed(path.parent).folders if own else ()
    return [folder for folder in beside if names.get(folder.name.casefold(), own) != own]


@functools.lru_cache  # asked for every row of a table
def split_of(name: str) -> str | None:
    """Return the split that a folder's name has as a word, as `test_set` or `trainLabels`; None if
    it has none, or two.
    """
    found = [split for split, names in SPLIT_NAMES.items() if {*names} & {*words(name)}]
    return found[0] if len(found) == 1 else None


def words(name: str) -> list[str]:
    """Return the words of a name in lower case; a capital behind a small letter begins one."""
    return re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).casefold())


def called(name: str) -> str | None:
    """Return the split that is called so; None if none is."""
    return next((split for split, names in SPLIT_NAMES.items() if name.casefold() in names), None)


def split_of_file(name: str) -> str | None:
    """Return the split that a file's name begins with, or else has as a word, as `split_of`."""
    return called(re.split("[^a-z]", name.casefold())[0]) or split_of(name)


def lacking(names: Iterable[str]) -> list[str]:
    """Say which files are missing of those that number themselves, as `-00000-of-00004`.

    Args:
        names: names or paths of files.

    Returns:
        One sentence for each such set that is not whole.
    """
    sets: dict[tuple[str, str, str], set[int]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            sets.setdefault((match[1], match[3], match[4]), set()).add(int(match[2]))
    lines = []
    for (before, of, after), found in sets.items():
        missing = next((number for number in range(int(of)) if number not in found), None)
        if missing is not None:
            name = f"{before}-{missing:0{len(of)}}-of-{of}{after}"
            lines.append(
                f"{len(found)} of {int(of)} files are there, {name} is not: copy it, or call the"
                " others by another number"
            )
    return lines


def copies(files: Iterable[Path]) -> dict[Path, Path]:
    """Return the files that have the bytes of an earlier one, each with the first of these."""
    kept: dict[int, list[Path]] = defaultdict(list)  # by size
    found = {}
    for file in files:
        alike = kept[os.path.getsize(file)]
        first = next((one for one in alike if filecmp.cmp(file, one, shallow=False)), None)
        if first is None:
            alike.append(file)
        else:
            found[file] = first
    return found


def _innermost(folder: Path) -> Path:
    """Past folders that hold one of the same name alone, as archives unpacked into such leave."""
    while len(inside := listed(folder).folders) == 1 and inside[0].name == folder.name:
        folder = inside[0]
    return folder


def _hidden(name: str) -> bool:
    return name.startswith((".", "__")) or name.lower() in _SYSTEM


def _leads_up(link: Path) -> bool:
    target, place = Path(os.path.realpath(link)), Path(os.path.realpath(link.parent))
    return place == target or place.is_relative_to(target)
