"""The contents of a data set's folder that are not read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from keras_kd._common import csv_files
from keras_kd._common.files import refuse_special
from keras_kd._common.text import counted
from keras_kd.datasets import decoding
from keras_kd.datasets.readers import (
    _boxes,
    _fer2013_csv,
    _pixel_numbers,
    _shard_files,
    _table_rows,
    _tree,
)
from keras_kd.errors import DataError

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")
_AS_FILES = "save its images as files in a folder for each class"
# Other programs' forms of images and their classes: what they hold, and what to do.
_OTHER_FORMS = {
    ".rec": f"it holds MXNet's records: {_AS_FILES}, or beside their list (.lst), which is read",
    ".arrow": "it is Hugging Face's own form on disk: load it there and write train.parquet with"
    " to_parquet",
    ".mat": f"it is a MATLAB file: {_AS_FILES}, or the classes as a csv file",
    **dict.fromkeys((".npy", ".npz"), f"it holds arrays of NumPy: {_AS_FILES}"),
    **dict.fromkeys((".h5", ".hdf5"), f"it is an HDF5 file: {_AS_FILES}"),
    **dict.fromkeys((".pkl", ".pickle"), f"it is pickled, which may run code: {_AS_FILES}"),
    **dict.fromkeys((".mdb", ".lmdb"), f"it is an LMDB database: {_AS_FILES}"),
    **dict.fromkeys((".dcm", ".dicom", ".nii"), "it is a medical image: save it as PNG"),
}
_BOXES = (
    "it holds boxes in images, as annotations of Pascal VOC, ImageNet, COCO and LabelMe do:"
    f" {_boxes.INSTEAD} a folder for each class, or sort the images so"
)
# By suffix, words of which one stands at the beginning of annotations of boxes.
_OF_BOXES = {
    ".xml": (b"<annotation",),
    ".json": (b'"annotations"', b'"categories"', b'"licenses"', b'"shapes"', b'"bbox"'),
}
_IDX = re.compile(r".*idx\d-ubyte")  # MNIST's, with a hyphen or a dot before it
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_LOOKED_AT = 2**12  # bytes of a text that may be a table


def passed_over(root: Path, used: Collection[Path]) -> list[str]:
    """Return a line for each kind of thing in `root` that is not among the files `used`; most
    telling ones first.
    """
    read = set(used)
    apart: Counter[Path] = Counter()
    kinds: Counter[str] = Counter()
    results: list[Path] = []
    loops: list[Path] = []
    hidden = 0
    for folder in _tree.walk(root):
        if folder.path != root and folder.holds_results:
            results.append(folder.path)
            continue
        loops += folder.loops
        hidden += folder.hidden
        for file in folder.files:
            if file in read:
                continue
            suffix = file.suffix.lower()
            if suffix in decoding.suffixes():
                apart[_place(root, file)] += 1
            else:
                kinds[suffix] += 1
    lines = [
        f"{counted(count, 'image')} in {place}, in no class or split"
        for place, count in apart.items()
    ]
    lines += [f"the folder {folder}, which holds results of a run" for folder in results]
    lines += [f"{link}, a link to a folder above it" for link in loops]
    lines += [_line(suffix, count) for suffix, count in kinds.most_common()]
    return lines + ([counted(hidden, "hidden or system item")] if hidden else [])


def described(path: Path) -> str:
    """Say what lies at a path that has none of the known forms, and what to do."""
    suffix = path.suffix.lower()
    if path.is_file():
        if suffix in _ARCHIVES:
            return "it is an archive: unpack it and give the folder"
        if suffix in decoding.suffixes():
            return (
                "it is one image: give a folder of class folders, or have a model read it with"
                " `kerakd predict`"
            )
        if suffix == ".parquet":
            call = "" if _tree.split_of(path.stem) else "call it train.parquet and "
            return f"it is one Parquet file: {call}give its folder"
        if suffix in _table_rows.SUFFIXES:
            return _other_columns(path)
        return _mending(path) or (
            "it is a file of another kind: give a folder of class folders, or convert the"
            f" {suffix or 'file'}"
        )
    top = _tree.listed(path)
    kinds = Counter(file.suffix.lower() or "no suffix" for file in top.files)
    files = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(4)) or "no files"
    folders = ", ".join(folder.name for folder in top.folders[:6]) or "no folders"
    holds = f"it holds {files} and {folders}, but no images in class folders"
    unread = next(filter(None, map(unread_file, (path, *top.folders))), "")
    return f"{holds}: sort images into a folder for each class{unread and '; '}{unread}"


def instead_of_images(folder: Path) -> str:
    """Say of which kind most files in a folder without images are; "" where it has none."""
    kinds = Counter(file.suffix.lower() for part in _tree.walk(folder) for file in part.files)
    return "".join(f": it holds {_line(*kind)}" for kind in kinds.most_common(1))


def unread_file(root: Path) -> str:
    """Say why the first table, Parquet file or archive in a folder is not read; "" where there is
    none.
    """
    files = _tree.listed(root).files
    for file in (file for file in files if file.suffix.lower() in _table_rows.SUFFIXES):
        reason = _other_columns(file)
        return reason if str(file) in reason else f"{file} is not read: {reason}"
    # Archives may hold anything, so other files are named before them.
    last = sorted(files, key=lambda file: file.suffix.lower() in _ARCHIVES)
    unread = (f"{file} is not read: {mend}" for file in last if (mend := _mending(file)))
    return next(unread, "")


def tables_beside(root: Path, splits: Collection[Path] = ()) -> list[str]:
    """Return a line for each file in a folder of class folders, or in those of its splits, that is,
    or seems to be, a table of its images.
    """
    folders = dict.fromkeys((root, *splits))
    files = (file for folder in folders for file in _tree.listed(folder).files)
    lines = dict.fromkeys(_of_table(file, root) for file in files)
    return [line for line in lines if line]


def _of_table(file: Path, root: Path) -> str:
    columns = _table_rows.columns(file)
    if columns.are_enough:
        of_split = file.parent != root or _tree.split_of(file.stem)
        others = f"table:{root} to read the tables of its splits"
        return (
            f"the table {file.name} with the columns {', '.join(columns.read[:12])} is not read,"
            " because the folders are taken for the classes: give"
            f" {others if of_split else 'it alone to read it'} instead"
        )
    may_be_table = _is_packed_table(file) or file.suffix.lower() == ".txt"
    mend = _mending(file) if may_be_table else ""
    return f"{file.name} is not read: {mend}" if mend else ""


def _mending(file: Path) -> str:
    """What makes a file that may hold data one that is read; "" for any other file."""
    suffix = file.suffix.lower()
    if _IDX.fullmatch(file.name.removesuffix(".gz")):
        return f"it is in MNIST's IDX form: {_AS_FILES}"
    if any(word in _start(file) for word in _OF_BOXES.get(suffix, ())):
        return _BOXES
    if file.name == "dataset_dict.json":
        return _OTHER_FORMS[".arrow"]
    if not suffix and _start(file).startswith(b"\x80"):  # as CIFAR's batches
        return _OTHER_FORMS[".pkl"]
    if suffix in _OTHER_FORMS:
        return _OTHER_FORMS[suffix]
    if suffix in _table_rows.OTHER_SUFFIXES or (suffix == ".txt" and _lists_images(file)):
        return _table_rows.SAVE_AS_CSV
    if suffix == ".parquet":
        return "call it train.parquet"
    if _shard_files.form(file.name) == "tfrecord":
        return f"give shards:{file.parent} to read it in place"
    into = "" if _is_packed_table(file) else " into a folder of its name"
    or_shards = (
        f", or give shards:{file.parent} if it holds a .cls or .json beside each image"
        if _shard_files.form(file.name)
        else ""
    )
    return f"unpack it{into}{or_shards}" if suffix in _ARCHIVES else ""


def _is_packed_table(file: Path) -> bool:
    return Path(file.stem).suffix.lower() in _table_rows.SUFFIXES


def _lists_images(file: Path) -> bool:
    """Whether two lines or more at a text's beginning name image files."""
    lines = _start(file).lower().splitlines()
    words = ([word.strip(b",;\"'") for word in re.split(rb"[\s,;]", line)] for line in lines)
    suffixes = tuple(suffix.encode() for suffix in decoding.suffixes())
    return sum(any(word.endswith(suffixes) for word in line) for line in words) > 1


def _start(file: Path) -> bytes:
    """The first bytes of a file; none of one that can't be read."""
    try:
        refuse_special(file)
        with file.open("rb") as opened:
            return opened.read(_LOOKED_AT)
    except (OSError, ValueError):
        return b""


def _other_columns(path: Path) -> str:
    try:
        names = _table_rows.names(path)
    except DataError as error:
        return str(error).rstrip(".")
    if any(Path(name).suffix.lower() in decoding.suffixes() for name in names):
        return (
            f"its first line, {', '.join(names[:4])}, names an image and no columns: write their"
            " names above it, file and label"
        )
    if len(pixels := _pixel_numbers.columns(names)) > 1:
        if _pixel_numbers.shape(pixels):
            return f"{_table_rows.columns(path).lacking}: call that label"
        return (
            f"its {len(pixels)} columns of pixels, {pixels[0]} to {pixels[-1]}, are those of no"
            " square image, gray or in three colours, numbered from 0 or 1 without a gap: write"
            " each row as an image file into a folder of its class"
        )
    if len(names) > 1 and all(map(_NUMBER.fullmatch, names)):
        images = ", label and pixel0 and so on" * bool(_pixel_numbers.square_shape(len(names) - 1))
        return (
            f"its first line, {', '.join(names[:4])} …, holds numbers and no names of columns:"
            f" write their names above it{images}"
        )
    expected = ", ".join(_fer2013_csv.COLUMNS)
    received = ", ".join(names[:12]) + f" and {len(names) - 12:,} more" * (len(names) > 12)
    if path.suffix.lower() == _table_rows.JSON_LINES:
        return (
            "each line of a table of image files has the fields file and label; its first has"
            f" {received or 'nothing'}; name the fields so or choose another file"
        )
    columns = _table_rows.columns(path)
    if columns.file or columns.label:
        what = "label" if columns.file else "file"
        return f"{columns.lacking}: call that {what}{_shares(path, columns)}"
    return (
        f"it has no column pixels: a csv file of pixels has {expected} in its first line, and a"
        f" table of image files has file, label; received {received or 'nothing'}; name the columns"
        f" so or choose another file{csv_files.other_separator(names)}"
    )


def _shares(table: Path, columns: _table_rows.Columns) -> str:
    """What to do where several columns beside the file may hold shares or votes of classes."""
    first = next(_table_rows.texts(table, columns.names), {}) if columns.file else {}
    numbers = [name for name, text in first.items() if _NUMBER.fullmatch(text)]
    names = ", ".join([name for name in numbers if name not in columns.file][:12])
    return (f", or if {names} hold shares or votes of classes, write the one with most into it") * (
        ", " in names
    )


def _place(root: Path, file: Path) -> Path:
    """The folder right below `root` that a file lies in, or `root`."""
    parts = file.relative_to(root).parts
    return root / parts[0] if len(parts) > 1 else root


def _line(suffix: str, count: int) -> str:
    kind = (
        counted(count, f"{suffix} file") if suffix else f"{counted(count, 'file')} without a suffix"
    )
    hint = f": {decoding.HEIC_HINT}" if suffix in decoding.HEIC_SUFFIXES else ""
    return f"{kind}, not read{hint}"
