"""Image files as viewers show them, whatever wrote them; and files that only look like images."""

from __future__ import annotations

import importlib.util
import os
import socket
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from png_files import chunk

from keras_kd.datasets import decoding
from keras_kd.errors import DataError

# What a viewer does to a stored picture, by the number that Exif 2.3 (table 6) gives it.
TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}
# Blocks, which lossy formats keep, of four colours that no turn leaves in place.
BLOCKS = np.kron(
    np.array(
        [
            [[200, 30, 30], [30, 200, 30]],
            [[30, 30, 200], [220, 220, 220]],
            [[10, 10, 10], [128, 0, 90]],
        ]
    ),
    np.ones((32, 32, 1)),
).astype(np.uint8)

NO_HEIC = importlib.util.find_spec("pillow_heif") is None


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(
    "suffix",
    [
        ".jpg", ".jfif", ".png", ".webp", ".tif", ".avif", ".mpo",
        pytest.param(".heic", marks=pytest.mark.skipif(NO_HEIC, reason="needs the extra heic")),
    ],
)  # fmt: skip
def test_images_are_turned_as_exif_says(suffix: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    picture = Image.fromarray(BLOCKS)
    decoding.formats()  # registers HEIC with Pillow, which turns by its own boxes instead
    picture.info["exif"] = exif.tobytes()
    picture.save(tmp_path / f"a{suffix}", exif=exif.tobytes())
    expected = TURNED[orientation](BLOCKS)
    for found in (
        decoding.read(tmp_path / f"a{suffix}"),
        decoding.decoded((tmp_path / f"a{suffix}").read_bytes(), "a"),
    ):
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 8


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


def test_damaged_exif_data_leave_the_image_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(BLOCKS).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    np.testing.assert_array_equal(decoding.read(tmp_path / "a.png"), BLOCKS)


def _png16(path: Path, values: np.ndarray, colour: int, hidden: bytes = b"") -> Path:
    """A PNG file of 16 bits, written here because Pillow writes no colours of 16 bits."""

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    head = chunk(b"IHDR", header) + (chunk(b"tRNS", hidden) if hidden else b"")
    content = head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def _deep(path: Path, values: np.ndarray) -> Path:
    if path.name.startswith("colour"):
        return _png16(path, np.stack([values] * 3, -1), 2)
    Image.fromarray(values).save(path)
    return path


DEEP = ["gray.png", "gray.tif", "gray.jp2", "gray.pgm", "colour.png"]


@pytest.mark.parametrize("name", DEEP)
def test_sixteen_bits_keep_their_upper_eight(name: str, tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    found = decoding.read(_deep(tmp_path / name, values))
    assert found.dtype == np.uint8 and found.shape == (8, 8, 3 if name == "colour.png" else 1)
    np.testing.assert_array_equal(found[:, :, 0], values // 256)


@pytest.mark.parametrize("highest", [255, 1023, 4095, 16383])
@pytest.mark.parametrize("name", DEEP)
def test_fewer_bits_in_sixteen_are_refused_instead_of_read_as_black(
    name: str, highest: int, tmp_path: Path
) -> None:
    values = np.linspace(0, highest, 64).reshape(8, 8).astype(np.uint16)
    with pytest.raises(
        DataError, match=f"{name} holds 16-bit pixels of which none reaches a quarter .* scale it"
    ):
        decoding.read(_deep(tmp_path / name, values))


@pytest.mark.parametrize("kind", ["P6", "P3"])
def test_dark_colours_of_sixteen_bits_in_ppm_files_are_refused(kind: str, tmp_path: Path) -> None:
    for largest, peak in ((255, 255), (65535, 65535), (65535, 4095)):
        numbers = [0, 0, 0, peak, peak, peak]
        stored = np.array(numbers, ">u2" if largest > 255 else "u1").tobytes()
        content = stored if kind == "P6" else " ".join(map(str, numbers)).encode()
        (tmp_path / "a.ppm").write_bytes(f"{kind} 2 1 {largest}\n".encode() + content)
        if peak == largest:
            assert decoding.read(tmp_path / "a.ppm").tolist() == [[[0] * 3, [255] * 3]]
    with pytest.raises(DataError, match="16-bit pixels of which none reaches a quarter"):
        decoding.read(tmp_path / "a.ppm")


def test_sixteen_bits_a_pixel_of_a_bmp_file_are_colours_of_eight(tmp_path: Path) -> None:
    # Windows' BITMAPINFOHEADER with BI_BITFIELDS: 5, 6 and 5 bits; 2 of 31 is dark.
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    masks, pixels = struct.pack("<III", 0xF800, 0x7E0, 0x1F), struct.pack("<HH", 2, 2 << 11)
    begin = b"BM" + struct.pack("<IHHI", 70, 0, 0, 66)
    (tmp_path / "a.bmp").write_bytes(begin + header + masks + pixels)
    assert decoding.read(tmp_path / "a.bmp").tolist() == [[[0, 0, 16], [16, 0, 0]]]
    assert not decoding.traits(tmp_path / "a.bmp")


def test_white_is_zero_in_sixteen_bits_as_in_eight(tmp_path: Path) -> None:
    expected = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for stored in (expected, expected.astype(np.uint16) * 257):
        stored = np.iinfo(stored.dtype).max - stored
        # Tag 262 says how values are meant: 0 is WhiteIsZero. Pillow inverts 8 bits itself.
        raw = stored if stored.dtype == np.uint16 else expected
        Image.fromarray(raw).save(tmp_path / "a.tif", tiffinfo={262: 0})
        np.testing.assert_array_equal(decoding.read(tmp_path / "a.tif")[:, :, 0], expected)


def test_the_hidden_value_of_sixteen_bits_is_white(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    gray = decoding.read(_png16(tmp_path / "gray.png", values, 0, struct.pack(">H", values[0, 1])))
    expected = values // 256
    expected[0, 1] = 255
    np.testing.assert_array_equal(gray[:, :, 0], expected)
    hidden = struct.pack(">HHH", *[values[0, 1]] * 3)
    colour = decoding.read(_png16(tmp_path / "a.png", np.stack([values] * 3, -1), 2, hidden))
    np.testing.assert_array_equal(colour[:, :, 2], expected)
    with_alpha = np.stack([values, values, values, np.full_like(values, 65535)], -1)
    read = decoding.read(_png16(tmp_path / "a.png", with_alpha, 6))
    np.testing.assert_array_equal(read[:, :, 1], values // 256)


def test_a_black_image_of_sixteen_bits_is_black(tmp_path: Path) -> None:
    assert decoding.read(_deep(tmp_path / "gray.png", np.zeros((8, 8), np.uint16))).max() == 0


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_values_whose_range_is_unknown_are_refused(kind: type, tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 1000, 64).reshape(8, 8).astype(kind)).save(tmp_path / "a.tif")
    with pytest.raises(
        DataError, match="a.tif holds .* whose range is unknown: save it in 8 or 16 bits"
    ):
        decoding.read(tmp_path / "a.tif")


def _with_hole(mode: str) -> tuple[Image.Image, dict]:
    """A picture of one gray, 64, whose first row is transparent, and what it is saved with."""
    alpha = np.full((4, 4), 255, np.uint8)
    alpha[0] = 0
    gray = np.full((4, 4), 64, np.uint8)
    if mode in ("RGBA", "LA"):
        return Image.merge(
            mode, [*([Image.fromarray(gray)] * (len(mode) - 1)), Image.fromarray(alpha)]
        ), {}
    numbers = Image.fromarray((alpha // 255).astype(np.uint8), "L")
    if mode == "P":
        numbers = Image.fromarray((alpha // 255).astype(np.uint8)).convert("P")
        numbers.putpalette([9, 200, 9, 64, 64, 64])
        return numbers, {"transparency": 0}
    return Image.fromarray(np.where(alpha, gray, 7).astype(np.uint8)), {"transparency": 7}


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGBA", "png"), ("RGBA", "webp"), ("LA", "png"), ("P", "png"), ("P", "gif"), ("L", "png")],
)
def test_transparent_parts_are_white_whatever_colour_hides_there(
    mode: str, suffix: str, tmp_path: Path
) -> None:
    picture, options = _with_hole(mode)
    picture.save(
        tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}), **options
    )
    found = decoding.read(tmp_path / f"a.{suffix}")
    assert found.shape[2] == (1 if mode in ("LA", "L") else 3)
    assert (found[0] == 255).all() and (found[1:] == 64).all()
    assert "transparency, shown on white" in decoding.traits(tmp_path / f"a.{suffix}")


def test_cmyk_is_turned_into_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=100)
    assert np.abs(decoding.read(tmp_path / "red.jpg").astype(int) - (255, 0, 0)).max() < 4
    assert decoding.traits(tmp_path / "red.jpg") == (
        "CMYK colours, turned into RGB without a profile",
    )


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif", "avif"])
def test_of_several_frames_the_first_is_read_and_that_is_told(suffix: str, tmp_path: Path) -> None:
    first, second = Image.new("RGB", (16, 16), (200, 0, 0)), Image.new("RGB", (16, 16), (0, 0, 200))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    assert np.abs(decoding.read(tmp_path / f"a.{suffix}").astype(int) - (200, 0, 0)).max() < 12
    assert decoding.traits(tmp_path / f"a.{suffix}") == (
        "several frames or pages, the first is read",
    )


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


def test_scans_of_nothing_are_refused(tmp_path: Path) -> None:
    """267 kB of them had 49 million pixels gone over a thousand times, for 17 s."""
    file = tmp_path / "a.jpg"
    Image.fromarray(BLOCKS).save(file, progressive=True)
    whole = file.read_bytes()
    last = whole[whole.rfind(b"\xff\xda") : -2]
    usual, ending = whole.count(b"\xff\xda"), b"\xff\xd9"
    # What lies behind the end of an image is not of it.
    file.write_bytes(whole + last * 1000)
    assert decoding.read(file).shape == BLOCKS.shape
    file.write_bytes(whole[:-2] + last * (decoding.MAX_SCANS - usual) + ending)
    assert decoding.read(file).shape == BLOCKS.shape
    file.write_bytes(whole[:-2] + last * 1000 + ending)
    with pytest.raises(DataError, match=f"a.jpg holds {1000 + usual:,} scans of one image"):
        decoding.read(file)
    # In colour each scan may be of one channel; without its data it is gone over all the same.
    Image.fromarray(BLOCKS).save(file)
    whole = file.read_bytes()
    start = whole.rfind(b"\xff\xda")
    file.write_bytes(whole[:start] + bytes.fromhex("ffda0008010100003f00") * 1000 + whole[start:])
    with pytest.raises(DataError, match="holds 1,001 scans"):
        decoding.read(file)


@pytest.mark.skipif(NO_HEIC, reason="needs the extra heic")
def test_heic_is_read(tmp_path: Path) -> None:
    decoding.formats()  # registers the format with Pillow
    Image.fromarray(BLOCKS).save(tmp_path / "a.heic", quality=95)
    assert np.abs(decoding.read(tmp_path / "a.heic").astype(int) - BLOCKS).mean() < 4
    assert ".heic" in decoding.suffixes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "a PostScript file"),
        (b"%PDF-1.7\n", "a PDF file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a Git LFS pointer: .*git lfs pull",
        ),
        (b"\n<!DOCTYPE html><html>404</html>", "HTML"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"P7\nWIDTH 1\n", "none of .*PNG"),
        (b"\xff\x0a\x00", "a JPEG XL image: save it as PNG"),
        (b"MM\0*\0\0\0\x08", "a TIFF file of pixels that aren't read.* or damaged: save it as PNG"),
    ],
)
def test_other_files_called_images_are_told_apart(
    content: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=f"a.png can't be read as an image.*{words}"):
        decoding.read(tmp_path / "a.png")


def test_ghostscript_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lines = [
        "%!PS-Adobe-3.0 EPSF-3.0",
        "%%BoundingBox: 0 0 9 9",
        "%%EndComments",
        "showpage",
        "%%EOF",
        "",
    ]
    (tmp_path / "a.png").write_text("\n".join(lines))
    with pytest.raises(DataError, match="a PostScript file"):
        decoding.read(tmp_path / "a.png")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder", "circle"])
def test_special_files_are_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with pytest.raises(
        DataError, match="a.png can't be read .(it is no regular file|Too many levels)"
    ):
        decoding.read(path)


def test_a_file_beyond_all_images_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(decoding.MAX_BYTES + 1)  # sparse: takes no room
    with pytest.raises(DataError, match="a.png is 536,870,913 bytes long, more than 536,870,912"):
        decoding.read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif", "bmp", "avif", "jp2"])
def test_a_file_cut_short_is_named_and_no_warning_reaches_the_terminal(
    suffix: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{suffix}")
    content = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"a.{suffix}").write_bytes(content[: len(content) // 2])
    with (
        warnings.catch_warnings(record=True) as told,
        pytest.raises(DataError, match=f"a.{suffix} can't be read as"),
    ):
        decoding.read(tmp_path / f"a.{suffix}")
    assert told == []
