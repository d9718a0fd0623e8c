"""Image files as viewers show them, whatever wrote them; and files that only look like images."""

from __future__ import annotations

import importlib.util
import os
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from turned_pictures import BLOCKS, TURNED

from keras_kd.datasets import decoding
from keras_kd.errors import DataError

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


def test_damaged_exif_data_leave_the_image_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(BLOCKS).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    np.testing.assert_array_equal(decoding.read(tmp_path / "a.png"), BLOCKS)


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
