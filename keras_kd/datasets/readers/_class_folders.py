"""Which folders of a split are which classes; the train split's folders name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from keras_kd._common.text import counted, some
from keras_kd.datasets import SPLITS, class_names
from keras_kd.datasets.readers import _boxes, _image_files, _numbering, _splitting, _survey, _tree
from keras_kd.errors import DataError

# Names of parts of a data set, as parts of a download are called, and of masks.
_NUMBERED = re.compile(r"(.*[\W_])?(part|images?|imgs?|batch|chunk|set|archive)[\W_]*\d+")
_IMAGES = {"image", "images", "img", "imgs", "input", "inputs", "photos", "pictures"}
_MASKS = {"mask", "masks", "groundtruth", "gt", "label", "labels", "annotation", "annotations"}
# Parts of a data set that no class is called as, in lower case: folds, and abbreviated splits.
_PART = re.compile(r"(fold|cv|part|split|set|batch)[\W_]*\d+|trn|tst|vld|eval|holdout")


def of_train(train: Path, root: Path, skip_bad_rows: bool) -> dict[str, list[Path]]:
    """Return the folders of each class by its name, in the order of the class numbers.

    Raises:
        DataError: there are fewer than two classes, or the folders look like splits.
    """
    classes: dict[str, list[Path]] = {}
    found = _image_files.class_folders(train)
    _refuse_masks([*found.values()])
    for name, folder in found.items():
        # Without skip_bad_rows an empty class keeps its name, and folder._listing reports it.
        if not skip_bad_rows or _image_files.image_files(folder):
            classes.setdefault(class_names.plain(name), []).append(folder)
    for name in _repeating(classes):
        if not skip_bad_rows:
            folder = classes[name][0]
            raise DataError(
                f"{folder} is no class, its folders {some(sorted(_names_inside(folder)))} are"
                " called as the classes beside it: move it away, or its images into those classes,"
                " or pass over it with --skip-bad-rows."
            )
        del classes[name]
    _refuse_other_layouts(train, root, classes)
    classes = _named(classes, root)
    if wrong := class_names.problem(tuple(classes)):
        raise DataError(f"In {train} {wrong}: rename the folder.")
    if len(classes) < 2:
        advice = "".join(
            f", or give {_holding(folders[0])} if its folders are the classes"
            for folders in classes.values()
        )
        unread = _survey.unread_file(root)
        raise DataError(
            f"{train} has {counted(len(classes), 'class folder')} with images, expected two or "
            f"more: add classes{advice}{unread and '; '}{unread}."
        )
    return classes


def _holding(folder: Path) -> Path:
    """The folder itself, or the first one below it that holds several, as of an unpacked archive's
    archive/data/data.
    """
    inner = folder
    while len(inside := _tree.listed(inner).folders) == 1:
        inner = inside[0]
    return inner if inside else folder


def of_split(
    split_folder: Path, classes: dict[str, list[Path]]
) -> tuple[dict[str, list[Path]], list[Path]]:
    """Return the folders of each class in one split, and those that are of none.

    Raises:
        DataError: two folders of the split mean the same class.
    """
    found: dict[str, list[Path]] = {name: [] for name in classes}
    unknown = []
    for name, folder in _image_files.class_folders(split_folder).items():
        match = _matching(name, classes)
        if match is None:
            unknown.append(folder)
        elif found[match] and class_names.plain(found[match][0].name) != class_names.plain(name):
            raise DataError(
                f"{found[match][0]} and {folder} both mean the class {match}: keep one of them."
            )
        else:
            found[match].append(folder)
    return found, unknown


def refuse_unknown(path: Path, splits: dict[str, Path]) -> None:
    """Raise DataError for images beside the train folder that might be a split that has no
    folder.
    """
    missing = [split for split in SPLITS if split not in splits]
    if path in splits.values() or not missing:
        return
    known = {folder for split in splits.values() for folder in (split, *split.parents)}
    for folder in _image_files.class_folders(path).values():
        if folder not in known and _image_files.image_files(folder):
            sorted_into = bool(_tree.listed(folder).folders)
            what = "is the name of no split" if sorted_into else "has no class folders"
            # A test folder whose labels are secret has the right name.
            right = not sorted_into and _tree.split_of(folder.name) in missing
            rename = "" if right else f"rename it to {' or '.join(missing)}, "
            tables = "".join(f"; {line}" for line in _survey.tables_beside(path)[:1])
            raise DataError(
                f"{folder} holds images but {what}, and {path} has no folder of classes for"
                f" {' and '.join(missing)}: {rename}sort it into classes, move it away, or pass"
                f" over it with --skip-bad-rows{tables}."
            )


def remarks(root: Path, train: Path, others: Sequence[Path]) -> list[str]:
    """Say which folders count as a class of another name, and that classes are numbers or mean the
    same.
    """
    classes = of_train(train, root, skip_bad_rows=True)
    lines = [
        f"{folder.name!r} counts as {name}"
        for name, folders in classes.items()
        for folder in folders
        if folder.name != folder.name.strip()
    ]
    for split in others:
        for name, folders in of_split(split, classes)[0].items():
            plain = {class_names.plain(folder.name) for folder in classes[name]}
            lines += [
                f"{folder} counts as {name}"
                for folder in folders
                if class_names.plain(folder.name) not in plain
            ]
    lines += class_names.doubts(list(classes))
    if all(map(_NUMBERED.fullmatch, map(str.casefold, classes))):
        lines.append(
            f"the classes are {some(classes)}: if these are parts of one set, sort their images"
            " into a folder for each class"
        )
    if _numbering.are_numbers(classes):
        lines.append(_of_numbers(list(classes)))
    held_out = len(others) < len(SPLITS) - 1
    lines += _of_deeper_folders(classes, held_out)
    if held_out:
        every = ([*chain(*map(_image_files.image_files, own))] for own in classes.values())
        lines += _splitting.named_alike(every)
    return lines


def _of_deeper_folders(classes: dict[str, list[Path]], held_out: bool) -> list[str]:
    """Say that images in folders of a class folder count as its own."""
    lines = []
    deeper = [file for folders in classes.values() for file in _deeper(folders)]
    masks = [file for file in deeper if file.parent.name.casefold() in _MASKS]
    if masks:
        lines.append(
            f"{counted(len(masks), 'image')} in folders such as {masks[0].parent} count as images"
            " of the class: move them away if they are masks"
        )
    if deeper:
        lie = f"{counted(len(deeper), 'image')} in deeper folders"
        line = f"{lie}, {deeper[0].parent} for one, count as their class folder's"
        spread = "; those of one folder, of one person perhaps, may fall into several splits"
        lines.append(line + spread * held_out + _either(classes))
    return lines


def _repeating(classes: dict[str, list[Path]]) -> list[str]:
    """The classes whose folders hold no image, but folders that are all called as other classes."""
    found = []
    for name, folders in classes.items():
        inside = {inner for folder in folders for inner in _names_inside(folder)}
        if len(inside) > 1 and inside <= {*classes} - {name} and not _has_images(folders):
            found.append(name)
    return found


def _has_images(folders: list[Path]) -> bool:
    """Whether images lie directly in any of the folders."""
    return any(
        file.parent == folder for folder in folders for file in _image_files.image_files(folder)
    )


def _either(classes: dict[str, list[Path]]) -> str:
    """What to know where the deeper folders might be the classes."""
    same = _same_inside(classes)
    return (
        f"; the classes are {some(classes)}, each with the folders {some(same)}: if those are the"
        " classes, put them first"
    ) * bool(same)


def _same_inside(classes: dict[str, list[Path]]) -> list[str]:
    """The names of the folders in each class, where all classes hold the same ones, two or more,
    and no image beside them.
    """
    every = [folder for folders in classes.values() for folder in folders]
    if len(every) < 2:
        return []
    names = _names_inside(every[0])
    alike = all(_names_inside(folder) == names for folder in every)
    return sorted(names) if len(names) > 1 and alike and not _has_images(every) else []


def _names_inside(folder: Path) -> set[str]:
    return {class_names.plain(child.name) for child in _tree.listed(folder).folders}


def _of_numbers(names: list[str]) -> str:
    """What to know of classes that are numbers."""
    parts = [_numbering.remark(names, "folders")]
    if names != (ordered := _numbering.ordered(names)):
        first = next(n for n, name in enumerate(names) if name != ordered[n])
        parts.append(
            f"until then they are in the alphabet's order, so output {first} is of {names[first]}"
        )
    return "; ".join(parts)


def _deeper(folders: list[Path]) -> list[Path]:
    return [
        file
        for folder in folders
        for file in _image_files.image_files(folder)
        if file.parent != folder
    ]


def _matching(name: str, classes: dict[str, list[Path]]) -> str | None:
    """The class that a folder's name is or, where only one is, means the same as."""
    plain = class_names.plain(name)
    exact = [
        own
        for own, folders in classes.items()
        if plain in (own, class_names.plain(folders[0].name))
    ]
    same = [own for own in classes if class_names.canonical(own) == class_names.canonical(plain)]
    return next(iter(exact), same[0] if len(same) == 1 else None)


def _named(classes: dict[str, list[Path]], root: Path) -> dict[str, list[Path]]:
    """Classes that are numbers by the names in labels.txt, in the order of the numbers; all others
    as they are.
    """
    file = root / class_names.LABELS_FILE
    if not file.is_file() or not _numbering.are_numbers(classes):
        return classes
    numbers = _numbering.ordered(classes)
    names = _numbering.names_of(numbers, file)
    return {name: classes[number] for name, number in zip(names, numbers, strict=True)}


def _refuse_masks(folders: Sequence[Path]) -> None:
    """Raise DataError where a folder is called as masks or labels and has a file for each image of
    another, as those of segmentation and detection; faces in a mask are a class beside others.
    """
    for folder in (folder for folder in folders if folder.name.casefold() in _MASKS):
        beside = [other for other in folders if other.name.casefold() not in _MASKS]
        if _image_files.image_files(folder):
            beside = [other for other in beside if other.name.casefold() in _IMAGES]
        suffixes = {
            file.stem: file.suffix for part in _tree.data_folders(folder) for file in part.files
        }
        for other in beside:
            images = {file.stem for file in _image_files.image_files(other)}
            if images and images <= suffixes.keys():
                raise DataError(
                    f"{folder} has a {suffixes[min(images)]} file for each image in {other}, as"
                    " labels of detection (Pascal VOC's .xml, YOLO's .txt) and masks of"
                    f" segmentation are: {_boxes.INSTEAD} a folder for each class, or sort the"
                    " images so."
                )


def _refuse_other_layouts(train: Path, root: Path, classes: dict[str, list[Path]]) -> None:
    """Raise DataError where the folders themselves, or those of a class, are called like splits or
    folds.
    """
    if classes and all(map(_tree.split_of, classes)):
        places = (root, *(folder for folders in classes.values() for folder in folders))
        unread = next(filter(None, map(_survey.unread_file, places)), "")
        raise DataError(
            f"{train} has the folders {', '.join(classes)}, which are splits without class folders:"
            f" sort the images of each into a folder for each class{unread and '; '}{unread}."
        )
    for folder in (folder for folders in classes.values() for folder in folders):
        inside = [child for child in _tree.listed(folder).folders if _tree.split_of(child.name)]
        # Two splits at least: a person may be called Val.
        several = len({_tree.split_of(child.name) for child in inside}) > 1
        if several and any(map(_image_files.image_files, inside)):
            names = " and ".join(child.name for child in inside)
            raise DataError(
                f"{folder} has the splits {names} inside: give {folder} if it is a data set, or "
                f"turn the folders round, {train / inside[0].name / folder.name}."
            )
    same = _same_inside(classes)
    if same and all(map(_PART.fullmatch, map(str.casefold, classes))):
        raise DataError(
            f"{train} has the folders {some(classes)}, each with folders {some(same)}, which seem"
            " to be the classes: call the folders train, validation and test, or give one of them."
        )
