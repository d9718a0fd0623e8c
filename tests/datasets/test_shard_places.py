"""Where shards lie and what they are called: names of splits, URLs, folders with unusual names,
packed files, a web server.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import importlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_shards

from keras_kd import datasets
from keras_kd.datasets import splits
from keras_kd.datasets.readers import _shard_files
from keras_kd.errors import DataError

fsspec = pytest.importorskip("fsspec", reason="needs the extra shards")
pytest.importorskip("pyarrow", reason="needs the extra shards")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000.tar", "train"),
        ("imagenet-train-0001.tar", "train"),
        ("train_000.tar", "train"),
        ("TRAIN001.tar", "train"),
        ("val-00001-of-00010.tfrecord", "validation"),
        ("data.train.parquet", "train"),
        ("faces_dev_2.tfrecord.gz", "validation"),
        ("test-of-train-0.tar", "test"),
        ("test/part/0001.tar", "test"),
        ("cifar_train/0001.tar", "train"),
        ("training/testing/0.tar", "test"),
        ("crossval-0.tar", ""),
        ("trainer.tar", ""),
        ("latest-0.parquet", ""),
        ("both-and-test.tar", "test"),
        ("a-train-test.tar", ""),
        ("train-3.tfrec", "train"),
        ("train-00000-of-01024", "train"),
        ("mnist-test.tfrecord-00000-of-00001", "test"),
        ("train.snappy.pq", "train"),
        ("valid.tar.xz", "validation"),
    ],
)
def test_a_word_of_a_name_tells_the_split(tmp_path: Path, name: str, split: str) -> None:
    # The folders above the place tell nothing.
    place = tmp_path / "train" / "faces"
    path = place / name
    path.parent.mkdir(parents=True)
    path.touch()
    assert [found.split for found in _shard_files.listed(place)[0]] == [split]


@pytest.mark.parametrize("name", ["year [2024]", "who?", "a#b", "100%25", "x::y"])
def test_folders_may_have_signs_of_patterns_and_urls(tmp_path: Path, name: str) -> None:
    folder = small_shards.write_splits(tmp_path / name, ".parquet", train=2, rows=4)
    (folder / "labels.txt").write_text("bright\ndark\n")
    data = splits.load(f"shards:{folder}", size=16)
    assert len(data.shards) == 8
    by_pattern = datasets.load(f"{folder}/*-0*.parquet", "train", size=16)
    np.testing.assert_array_equal(by_pattern.images, data.shards.all().images)


def test_a_url_of_a_file_is_a_path(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=2, rows=4)
    for url in (f"file://{folder}", f"shards:file://{folder}", f"shards:file://{folder}/*.tar"):
        assert len(splits.load(url, size=16).shards) == 8
    (folder / "labels.txt").write_text("dark\nbright\n")
    assert splits.load(f"file://{folder}", size=16).class_names == ("dark", "bright")


@pytest.mark.parametrize("suffix", [".tar", ".tfrecord"])
def test_shards_beside_folders_of_images_are_named(suffix: str, tmp_path: Path) -> None:
    """The advice was to unpack each shard, or none."""
    folder = small_shards.write_splits(tmp_path / "data", suffix, rows=6)
    for name in small_shards.NAMES:
        (folder / "previews" / name).mkdir(parents=True)
        (folder / "previews" / name / "1.png").write_bytes(small_shards.row_files()[0][0])
    with pytest.raises(DataError, match=rf"is not read: .*give shards:{folder} "):
        splits.load(str(folder))
    assert len(splits.load(f"shards:{folder}", size=16).test) > 0


@pytest.mark.parametrize("suffix", [".tar", ".tfrecord"])
def test_packed_shards_are_read(tmp_path: Path, suffix: str) -> None:
    plain = small_shards.write_splits(tmp_path / "plain", suffix, rows=6)
    packed = tmp_path / "packed"
    packed.mkdir()
    for file in plain.iterdir():
        (packed / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    found = [datasets.load(f"shards:{place}", "train", size=16) for place in (plain, packed)]
    np.testing.assert_array_equal(found[0].images, found[1].images)
    np.testing.assert_array_equal(found[0].labels, found[1].labels)
    broken = packed / f"train-000{suffix}.gz"
    broken.write_bytes(broken.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"train-000\S* is damaged"):
        splits.load(f"shards:{packed}", size=16)


@pytest.mark.parametrize(
    ("suffix", "packed"), [(".tar.bz2", "bz2"), (".tar.xz", "xz"), (".tar", "gz")]
)
def test_tar_files_packed_otherwise_are_read(tmp_path: Path, suffix: str, packed: str) -> None:
    plain = small_shards.write_splits(tmp_path / "plain", ".tar", rows=6)
    (tmp_path / "packed").mkdir()
    for file in plain.iterdir():
        content = importlib.import_module({"gz": "gzip", "xz": "lzma"}.get(packed, packed))
        (tmp_path / "packed" / f"{file.stem}{suffix}").write_bytes(
            content.compress(file.read_bytes())
        )
    found = datasets.load(f"shards:{tmp_path}/packed", "train", size=16)
    np.testing.assert_array_equal(found.images, datasets.load(str(plain), "train", size=16).images)


def test_files_that_are_no_shards_are_noted(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar", rows=6)
    for name in ("README.md", "train-0.idx", "_SUCCESS", "train-000.tfrecord.index"):
        (folder / name).touch()
    assert splits.load(str(folder), size=16).passed_over == ()
    (folder / "train-004.tar.zst").touch()
    (note,) = splits.load(str(folder), size=16).passed_over
    assert note == f"{folder}/train-004.tar.zst: no shard, not read"


@pytest.mark.parametrize("pattern", ["*-00?.tar", "train-00[0-3].tar", "train-???.tar"])
def test_patterns_may_have_other_signs(tmp_path: Path, pattern: str) -> None:
    folder = small_shards.write_splits(tmp_path / "year [2024]", ".tar", rows=6)
    here = splits.load(f"{folder}/train*.tar", size=16)
    assert splits.load(f"{folder}/{pattern}", size=16).shards.shards == here.shards.shards
    with pytest.raises(DataError, match=r"write \* in place of"):
        splits.load(f"{folder}/{{train-000,train-001}}.tar", size=16)


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files; without times of change and ETags if `silent`."""

    silent = False
    asked: list[str] = []

    def do_GET(self) -> None:
        if self.path.endswith(".tar"):
            self.asked.append(self.path.rpartition("/")[2])
        super().do_GET()

    def send_header(self, name: str, value: str) -> None:
        if not (self.silent and name == "Last-Modified"):
            super().send_header(name, value)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=[False, True], ids=["dated", "silent"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, type[_Handler]]]:
    """A server of a folder on this machine, and what it was asked for."""
    pytest.importorskip("aiohttp", reason="needs aiohttp, by which fsspec reads http://")
    kind = type("_Own", (_Handler,), {"silent": request.param, "asked": []})
    made = functools.partial(kind, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), made) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", kind
        running.shutdown()
        thread.join()


def test_a_web_server_s_changed_shard_is_found(
    server: tuple[str, type[_Handler]], tmp_path: Path
) -> None:
    url, kind = server
    folder = small_shards.write_splits(tmp_path / "faces", ".tar", rows=6)
    data = splits.load(f"{url}/faces/", size=16)
    assert data.shards.shards[0].url == f"{url}/faces/train-000.tar"
    images, labels = small_shards.pictures(6, 0)
    np.testing.assert_array_equal(data.shards.read(0).images, images)
    kind.asked.clear()
    module = datasets.find(f"{url}/faces/")[0]
    assert module.shards(f"{url}/faces/", False, 16)["train"] == data.shards
    # Where no time is told, the content must be looked at.
    assert sorted(kind.asked) == (sorted(os.listdir(folder)) if kind.silent else [])
    # The same number of bytes, in another second.
    small_shards.write(folder / "train-000.tar", 255 - images, 1 - labels)
    os.utime(folder / "train-000.tar", (1, 1))
    with pytest.raises(DataError, match=r"train-000\.tar changed since it was indexed"):
        data.shards.read(0)
    again = module.shards(f"{url}/faces/", False, 16)["train"]
    assert again.shards[1:] == data.shards.shards[1:]
    assert again.image_fingerprint(0) != data.shards.image_fingerprint(0)
    np.testing.assert_array_equal(again.read(0).images, 255 - images)


def test_a_query_in_a_url_is_no_pattern(server: tuple[str, type[_Handler]], tmp_path: Path) -> None:
    url, _ = server
    small_shards.write_splits(tmp_path / "faces", ".tar", rows=6)
    found = _shard_files.listed(f"{url}/faces/train-000.tar?signed=yes")[0]
    assert [one.split for one in found] == ["train"] and found[0].url.endswith("?signed=yes")


def test_an_object_store_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = pytest.importorskip("moto.server", reason="needs moto[server], which plays S3")
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs, by which fsspec reads s3://")
    server = servers.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    told = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    store.mkdir("bucket")
    folder = small_shards.write_splits(tmp_path / "faces", ".tar", rows=6)
    store.put(f"{folder}/", "bucket/faces/", recursive=True)
    store.pipe("bucket/faces/labels.txt", b"dark\nbright\n")
    data = splits.load("s3://bucket/faces", size=16)
    assert data.shards.shards[0].url == "s3://bucket/faces/train-000.tar"
    assert data.class_names == ("dark", "bright")
    here = datasets.load(str(folder), "train", size=16)
    np.testing.assert_array_equal(data.shards.all().images, here.images)
    by_pattern = splits.load("s3://bucket/faces/*-0*.tar", size=16)
    assert by_pattern.shards.shards == data.shards.shards
    # An object of the same size has another ETag.
    small_shards.write(folder / "train-000.tar", *small_shards.pictures(6, 9))
    store.put_file(str(folder / "train-000.tar"), "bucket/faces/train-000.tar")
    s3fs.S3FileSystem.clear_instance_cache()
    again = splits.load("s3://bucket/faces", size=16).shards
    assert again.shards[0].content != data.shards.shards[0].content
    assert again.shards[1:] == data.shards.shards[1:]
    server.stop()
