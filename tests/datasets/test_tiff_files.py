"""TIFF files as viewers show them: planes, transparency, and pages behind a thumbnail."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from turned_pictures import BLOCKS, TURNED

from keras_kd.datasets import decoding
from keras_kd.errors import DataError


def test_8_bits_with_a_sign_are_refused_as_16_are(tmp_path: Path) -> None:
    # TIFF 6.0, SampleFormat: 1 without a sign, 2 with one.
    for sign in (1, 2):
        Image.fromarray(BLOCKS[..., 0]).save(tmp_path / "a.tif", tiffinfo={339: sign})
        if sign == 1:
            np.testing.assert_array_equal(decoding.read(tmp_path / "a.tif")[..., 0], BLOCKS[..., 0])
    with pytest.raises(DataError, match="with a sign, whose range is unknown"):
        decoding.read(tmp_path / "a.tif")


# TIFF 6.0, PhotometricInterpretation.
GRAY, RGB, CMYK, LAB = 1, 2, 5, 8


def _tiff(
    path: Path, values: np.ndarray, kind: int, planes: bool, packed: bool = False, extra: int = 0
) -> None:
    """A TIFF file of values (H, W, C), whose channels lie side by side or in planes."""
    height, width, channels = values.shape
    parts = [values[..., number] for number in range(channels)] if planes else [values]
    stored = [part.astype(values.dtype.newbyteorder("<")).tobytes() for part in parts]
    stored = [zlib.compress(part) for part in stored] if packed else stored
    tags = {
        256: [width], 257: [height], 258: [8 * values.itemsize] * channels,
        259: [8 if packed else 1], 262: [kind], 273: [], 277: [channels], 278: [height],
        279: [*map(len, stored)], 284: [2 if planes else 1],
    }  # fmt: skip
    tags |= {338: [extra]} if extra else {}
    begin = 8 + 2 + 12 * len(tags) + 4
    space = sum(4 * len(numbers) for numbers in tags.values()) + 4 * len(stored)
    places = begin + space + np.cumsum([0, *map(len, stored[:-1])])
    tags[273] = [int(place) for place in places]
    entries, beyond = b"", b""
    for tag, numbers in tags.items():
        content = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            place, beyond = begin + len(beyond), beyond + content
            content = struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + content
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    path.write_bytes((head + beyond).ljust(begin + space, b"\0") + b"".join(stored))


@pytest.mark.parametrize(
    ("channels", "depth", "kind", "packed", "is_read"),
    [
        (3, np.uint8, RGB, False, True),
        (3, np.uint8, RGB, True, True),
        (3, np.uint16, RGB, True, True),
        (3, np.uint16, RGB, False, False),
        (4, np.uint16, CMYK, False, False),
        (3, np.uint8, LAB, False, False),
        (3, np.uint8, LAB, True, False),
    ],
)
def test_planes_of_a_tiff_file_are_read_right_or_refused(
    channels: int, depth: type, kind: int, packed: bool, is_read: bool, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(depth)
    deep = values * 257 if depth == np.uint16 else values
    _tiff(tmp_path / "a.tif", deep, kind, planes=True, packed=packed)
    if is_read:
        np.testing.assert_array_equal(decoding.read(tmp_path / "a.tif"), values)
    else:
        with pytest.raises(DataError, match="in a plane of its own, .* colours .* side by side"):
            decoding.read(tmp_path / "a.tif")


def test_gray_and_its_transparency_in_tiff_files(tmp_path: Path) -> None:
    values = np.array([[[0, 0], [64, 255]]], np.uint8)
    for extra in (1, 2):  # TIFF 6.0, ExtraSamples: 1 for colours multiplied by their alpha
        _tiff(tmp_path / "a.tif", values, GRAY, planes=False, extra=extra)
        assert decoding.read(tmp_path / "a.tif").tolist() == [[[255], [64]]]
        assert decoding.is_gray(tmp_path / "a.tif")
    _tiff(tmp_path / "a.tif", values, GRAY, planes=True, packed=True, extra=2)
    with pytest.raises(DataError, match="in a plane of its own"):
        decoding.read(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "I;16"])
def test_plain_tiff_files_are_turned_whatever_their_pixels(
    mode: str, orientation: int, tmp_path: Path
) -> None:
    deep = BLOCKS[..., 0].astype(np.uint16) << 8
    picture = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(BLOCKS).convert(mode)
    picture.save(tmp_path / "a.tif", tiffinfo={0x112: orientation})
    shown = deep >> 8 if mode == "I;16" else picture.convert("L" if mode == "L" else "RGB")
    expected = np.asarray(shown).reshape(*BLOCKS.shape[:2], -1)
    np.testing.assert_array_equal(decoding.read(tmp_path / "a.tif"), TURNED[orientation](expected))


def _paged(path: Path, *pages: tuple[Image.Image, dict[int, int]]) -> None:
    """Write a TIFF file of pages, each with these tags."""
    with TiffImagePlugin.AppendingTiffWriter(str(path), new=True) as file:
        for picture, tags in pages:
            directory = TiffImagePlugin.ImageFileDirectory_v2()
            for tag, value in tags.items():
                directory[tag], directory.tagtype[tag] = value, 4
            picture.save(file, format="TIFF", tiffinfo=directory)
            file.newFrame()


# TIFF 6.0, NewSubfileType: 1 reduced, 2 a page of several, 4 a mask.
@pytest.mark.parametrize(("before", "kind"), [([1], 0), ([1, 1], 0), ([5, 4], None), ([1], 2)])
def test_the_picture_behind_a_thumbnail_is_read(before: list, kind: int | None, tmp_path: Path):
    small, file = Image.fromarray(BLOCKS[::8, ::8]).convert("L"), tmp_path / "a.tif"
    own = {0x112: 6} | ({} if kind is None else {254: kind})
    _paged(file, *((small, {254: one}) for one in before), (Image.fromarray(BLOCKS), own))
    np.testing.assert_array_equal(decoding.read(file), TURNED[6](BLOCKS))
    np.testing.assert_array_equal(decoding.decoded(file.read_bytes(), "a"), TURNED[6](BLOCKS))
    assert decoding.is_gray(file) is False
    assert decoding.traits(file) == ("a thumbnail before the picture, passed over",)


def test_a_lone_page_is_read_though_it_calls_itself_reduced(tmp_path: Path) -> None:
    _paged(tmp_path / "a.tif", (Image.fromarray(BLOCKS), {254: 1}))
    np.testing.assert_array_equal(decoding.read(tmp_path / "a.tif"), BLOCKS)


@pytest.mark.parametrize("hidden", ["inside", "behind"])
def test_a_thumbnail_whose_picture_is_not_read_is_refused(hidden: str, tmp_path: Path) -> None:
    small, file = Image.fromarray(BLOCKS[::8, ::8]), tmp_path / "a.tif"
    # Raw files of cameras have the picture in a page inside of the first, by tag 330.
    pages = [{254: 1, 330: 8}] if hidden == "inside" else [{254: 1}] * 40
    _paged(file, *((small, tags) for tags in pages))
    with pytest.raises(DataError, match="a.tif holds a thumbnail in place of its first page"):
        decoding.read(file)


def test_pages_are_not_counted(tmp_path: Path) -> None:
    """Pillow's count of these takes minutes: it compares each page's place with all before."""
    pages, file = 60_000, tmp_path / "a.tif"
    # Width, height, bits, photometric and so on: a tag, a type, one value.
    entries = [(256, 2), (257, 2), (258, 8), (259, 1), (262, 1), (273, 8), (278, 2), (279, 4)]
    size = 2 + 12 * len(entries) + 4
    content = bytearray(struct.pack("<2sHI", b"II", 42, 12) + bytes(4))
    for page in range(pages):
        content += struct.pack("<H", len(entries))
        content += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
        content += struct.pack("<I", 12 + (page + 1) * size if page < pages - 1 else 0)
    file.write_bytes(content)
    started = time.process_time()
    assert decoding.traits(file) == ("several frames or pages, the first is read",)
    assert decoding.read(file).shape == (2, 2, 1)
    assert time.process_time() - started < 5
