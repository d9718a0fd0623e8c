"""Images of sixteen bits a colour, or a pixel, as images of eight."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from png_files import chunk

from keras_kd.datasets import decoding
from keras_kd.errors import DataError


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
