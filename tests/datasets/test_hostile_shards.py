"""Shards that are damaged, or made to take memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import small_shards
from fuzz_bombs import masked_checksum

from keras_kd.datasets import decoding, splits
from keras_kd.datasets.readers import _shard_rows
from keras_kd.errors import DataError

pytest.importorskip("fsspec", reason="needs the extra shards")
pytest.importorskip("pyarrow", reason="needs the extra shards")


def test_a_tar_file_with_a_damaged_or_an_appended_part_is_told(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=2)
    file = folder / "train-000.tar"
    whole = file.read_bytes()
    with tarfile.open(file) as archive:
        header = archive.getmembers()[10].offset
    # Python's reader takes either for the end of the archive.
    for content in (whole[:header] + b"\xff" * 100 + whole[header + 100 :], whole + whole):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"train-000\.tar is damaged after byte.*replace it"):
            splits.load(str(folder), size=16)


@pytest.mark.parametrize("size", [2**40, 2**62, decoding.MAX_BYTES + 1])
@pytest.mark.parametrize("packed", [False, True])
def test_a_record_that_declares_more_than_an_image_holds_is_refused(
    size: int, packed: bool, tmp_path: Path
) -> None:
    """TensorFlow takes that much memory, and ended the process (SIGSEGV)."""
    folder = small_shards.write_splits(tmp_path / "data", ".tfrecord", train=1)
    path = folder / "train-000.tfrecord"
    whole, length = path.read_bytes(), size.to_bytes(8, "little")
    # What the test computes is what TensorFlow wrote.
    assert masked_checksum(whole[:8]) == whole[8:12]
    content = whole + length + masked_checksum(length) + bytes(100)
    path.unlink()
    if packed:
        path = path.with_name(f"{path.name}.gz")
        content = gzip.compress(content)
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"is damaged .a record declares {size:,} bytes.: replace"):
        splits.load(f"shards:{folder}", size=16)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.GNUTYPE_LONGNAME, "names or attributes of 2,000,000 bytes"),
        (tarfile.XHDTYPE, "names or attributes of 2,000,000 bytes"),
        (tarfile.GNUTYPE_SPARSE, "a member with holes: write the archive without"),
    ],
)
def test_headers_that_grow_without_bound_are_refused(
    kind: bytes, message: str, tmp_path: Path
) -> None:
    """Packed, a few kB of them are any number of bytes, which Python's reader takes at once."""
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    path = folder / "train-000.tar"
    for before in (path.read_bytes()[: 2 * tarfile.BLOCKSIZE], b""):
        member = tarfile.TarInfo("./@LongLink")
        member.type, member.size = kind, 2_000_000
        header = member.tobuf(tarfile.GNU_FORMAT)
        path.unlink(missing_ok=True)
        path.with_name("train-000.tar.gz").write_bytes(
            gzip.compress(before + header + bytes(2_000_384))
        )
        with pytest.raises(DataError, match=f"train-000.tar.gz is damaged .{message}"):
            splits.load(str(folder), size=16)


def test_a_sample_of_many_large_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a sample is in memory at once, and packed zeros take no room in the file."""
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    monkeypatch.setattr(decoding, "MAX_BYTES", 10_000)
    with tarfile.open(folder / "train-000.tar", "a") as archive:
        for number in range(3):
            member = tarfile.TarInfo(f"x.{number}")
            member.size = 4_000
            archive.addfile(member, io.BytesIO(bytes(4_000)))
    with pytest.raises(DataError, match=r"x\.2 and what belongs to it are 12,000 bytes long"):
        splits.load(str(folder), size=16)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_headers_of_headers_are_refused(kind: bytes, tmp_path: Path) -> None:
    """Python's reader calls itself for each; it ended in a traceback."""
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    member = tarfile.TarInfo("x")
    member.type, content = kind, b"11 path=ab\n"
    member.size = len(content)
    header = member.tobuf(tarfile.GNU_FORMAT) + content.ljust(tarfile.BLOCKSIZE, b"\0")
    (folder / "train-000.tar").write_bytes(header * 3000)
    with pytest.raises(DataError, match="train-000.tar is damaged .maximum recursion depth"):
        splits.load(str(folder), size=16)


def test_a_map_of_holes_that_stands_in_a_member_is_refused(tmp_path: Path) -> None:
    """Packed, 18 kB of it took 230 MB."""
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    facts = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "2"}
    # One part of two bytes, from byte 0 on.
    content = b"1\n0\n2\n".ljust(tarfile.BLOCKSIZE, b"\0") + b"ab"
    with tarfile.open(folder / "train-000.tar", "a", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("x.cls")
        member.size, member.pax_headers = len(content), facts
        archive.addfile(member, io.BytesIO(content))
    with tarfile.open(folder / "train-000.tar") as archive:
        assert archive.extractfile("x.cls").read() == b"ab"  # Python's reader knows it
    with pytest.raises(DataError, match="a member with holes: write the archive without"):
        splits.load(str(folder), size=16)


def test_members_that_are_no_samples_take_no_memory(tmp_path: Path) -> None:
    """Packed, a few kB are any number of them."""
    path = tmp_path / "train-0.tar"
    folder = tarfile.TarInfo("a")
    folder.type = tarfile.DIRTYPE
    path.write_bytes(folder.tobuf() * 5000 + bytes(2 * tarfile.BLOCKSIZE))
    tracemalloc.start()
    try:
        assert not list(_shard_rows.rows(path, str(path)))
        assert tracemalloc.get_traced_memory()[1] < 2e6  # megabytes more if all are kept
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"<html>", "of HTML")],
)
def test_a_packed_record_file_that_is_something_else_is_told(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "train-0.tfrecord.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        list(_shard_rows.rows(path, str(path)))


@pytest.mark.parametrize("suffix", small_shards.SUFFIXES)
def test_a_pointer_of_git_lfs_is_told(tmp_path: Path, suffix: str) -> None:
    folder = small_shards.write_splits(tmp_path / "data", suffix, train=2, rows=6)
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"
    (folder / f"train-001{suffix}").write_text(text)
    with pytest.raises(DataError, match=rf"train-001\{suffix}.*Git LFS pointer"):
        splits.load(f"shards:{folder}", size=16)
