"""Small files that declare, repeat or compute far more than they hold, of random size: what spoilt
bytes don't find.

Each takes the folder of a reader's valid files and a random generator, and puts one bomb there.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import fuzz_data_sets as data_sets
import h5py
import numpy as np

Bomb = Callable[[Path, Random], None]


def parquet_rows(folder: Path, random: Random) -> None:
    """One image, or one label, that any number of rows name."""
    import pyarrow
    import pyarrow.parquet

    rows = int(10 ** random.uniform(1, 6))
    size = int(10 ** random.uniform(2, 6))
    first = np.zeros(rows, np.int32)
    content = pyarrow.DictionaryArray.from_arrays(first, pyarrow.array([bytes(size)]))
    names = pyarrow.array(["a" if random.random() < 0.7 else "a" * min(size, 10**6)])
    labels = pyarrow.DictionaryArray.from_arrays(first, names)
    table = pyarrow.table({"image": content, "label": labels})
    pyarrow.parquet.write_table(
        table,
        folder / "train-00000-of-00001.parquet",
        compression=random.choice(["none", "snappy", "zstd", "gzip"]),
    )


def pages(folder: Path, random: Random) -> None:
    """A TIFF file of any number of pages, each 18 bytes, whose last may lead back to the first."""
    count = int(10 ** random.uniform(1, 4.8))
    first = (folder / "e.tiff").read_bytes()
    file = io.BytesIO(first)
    file.seek(0, os.SEEK_END)
    directory = struct.unpack_from("<I", first, 4)[0]
    entries = struct.unpack_from("<H", first, directory)[0]
    table = first[directory : directory + 2 + 12 * entries]
    starts = [file.tell() + number * (len(table) + 4) for number in range(count)]
    ends = [*starts[1:], random.choice((0, starts[0], 2**31))]
    file.write(b"".join(table + struct.pack("<I", end) for end in ends))
    content = bytearray(file.getvalue())
    content[4:8] = struct.pack("<I", starts[0])
    (folder / "e.tiff").write_bytes(content)


def png_texts(folder: Path, random: Random) -> None:
    """A PNG file of many pieces of text, or of one that grows when it is unpacked."""
    import zlib

    if random.random() < 0.5:
        kind, body = b"tEXt", b"a\0b"
        count = int(10 ** random.uniform(1, 4.3))
    else:
        size = int(10 ** random.uniform(4, 9))
        kind, count = b"zTXt", 1
        packer = zlib.compressobj(1)
        block = bytes(min(size, 2**24))
        parts = [packer.compress(block) for _ in range(max(1, size // len(block)))]
        body = b"a\0\0" + b"".join(parts) + packer.flush()
    chunk = struct.pack(">I", len(body)) + kind + body
    chunk += struct.pack(">I", zlib.crc32(kind + body))
    whole = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(whole[:33] + chunk * count + whole[33:])


def large_picture(folder: Path, random: Random) -> None:
    """A PNG or GIF file that declares any size."""
    sides = [int(2 ** random.uniform(8, 31)) for _ in range(2)]
    whole = bytearray((folder / "a.png").read_bytes())
    whole[16:24] = struct.pack(">II", *(min(side, 2**31 - 1) for side in sides))
    import zlib

    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    (folder / "a.png").write_bytes(whole)
    picture = bytearray((folder / "c.gif").read_bytes())
    picture[6:10] = struct.pack("<HH", *(side % 2**16 for side in sides))
    (folder / "c.gif").write_bytes(picture)


def scans(folder: Path, random: Random) -> None:
    """A JPEG file that goes over its pixels again and again."""
    from PIL import Image

    path, file = folder / "b.jpg", io.BytesIO()
    side = int(10 ** random.uniform(1, 3.8))
    Image.new("L", (side, side)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole[whole.rfind(b"\xff\xda") : -2]
    path.write_bytes(whole[:-2] + last * int(10 ** random.uniform(0, 4.5)) + b"\xff\xd9")


def packed_arrays(folder: Path, random: Random) -> None:
    """An .npz file of zeros that are packed a thousandfold, or declare a shape they don't fill."""
    shape = tuple(int(10 ** random.uniform(0, 4)) for _ in range(random.randint(1, 4)))
    header = str({"descr": random.choice(["<f4", "|u1", "<f8", "|O"]), "fortran_order": False,
                  "shape": shape})  # fmt: skip
    text = header.encode().ljust(117) + b"\n"
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    body += bytes(int(10 ** random.uniform(0, 7.5)))
    with zipfile.ZipFile(folder / "arrays.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("inputs", "outputs"):
            archive.writestr(f"{name}.npy", body)


def keras_archive(folder: Path, random: Random) -> None:
    """A .keras file with packed, repeated, linked or very many members."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    way = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(path, "w", way) as archive:
        for name, content in members.items():
            archive.writestr(name, content + bytes(random.choice((0, int(10**7)))))
        for number in range(int(10 ** random.uniform(0, 4.5))):
            archive.writestr(f"assets/{number}", b"")


def keras_weights(folder: Path, random: Random) -> None:
    """HDF5 arrays that declare more than they hold, deep or circular groups, many links."""
    path = folder / ("model.keras" if (folder / "model.keras").exists() else "model.h5")
    content = path.read_bytes()
    members = {}
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        content = members["model.weights.h5"]
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as weights:
        _inflated(weights, random)
    if not members:
        path.write_bytes(file.getvalue())
        return
    members["model.weights.h5"] = file.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)


def _inflated(weights: h5py.File, random: Random) -> None:
    kind = random.choice(("declared", "deep", "circle", "many", "filtered"))
    size = int(10 ** random.uniform(2, 12))
    if kind == "declared":
        weights.create_dataset(
            "x", (size,), random.choice(["f4", "S100"]), chunks=(min(1024, size),)
        )
    elif kind == "filtered":
        options = {"compression": random.choice(["gzip", "lzf"]), "shuffle": True}
        weights.create_dataset("x", data=np.zeros(min(size, 10**7)), **options)
    elif kind == "deep":
        group = weights
        for _ in range(min(size, 3000)):
            group = group.create_group("g")
    elif kind == "circle":
        weights[f"layers/{size}"] = weights["/"]
    else:
        for number in range(min(size, 20_000)):
            weights[f"x{number}"] = h5py.SoftLink("/x")


def nested_layers(folder: Path, random: Random) -> None:
    """A configuration of many layers, of models in models, or of long lists."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    layers = config["config"]["layers"]
    times = int(10 ** random.uniform(0, 4))
    if random.random() < 0.5:
        layers += [dict(layers[-1], name=f"d{number}") for number in range(times)]
    else:
        for _ in range(min(times, 900)):
            config = {**config, "config": {**config["config"], "layers": [config]}}
    try:
        members["config.json"] = json.dumps(config).encode()
    except RecursionError:
        members["config.json"] = b'{"config": {"layers": [' * times
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def tar_members(folder: Path, random: Random) -> None:
    """A packed tar file of many or large members, of long names, and links."""
    path = folder / "train-0.tar"
    packed = random.random() < 0.5
    path.unlink()
    with tarfile.open(
        path.with_suffix(".tar.gz") if packed else path, "w:gz" if packed else "w"
    ) as archive:
        for number in range(int(10 ** random.uniform(0, 3))):
            for suffix, content in (("png", data_sets.png()), ("cls", b"a")):
                found = tarfile.TarInfo(f"{number}{'x' * random.choice((0, 0, 5000))}.{suffix}")
                found.type = random.choice(
                    [tarfile.REGTYPE] * 9 + [tarfile.SYMTYPE, tarfile.FIFOTYPE]
                )
                content += bytes(random.choice((0, 0, 0, 10**6)) if packed else 0)
                found.size = len(content) if found.isreg() else 0
                found.linkname = "/etc/passwd"
                archive.addfile(found, io.BytesIO(content))


def tar_headers(folder: Path, random: Random) -> None:
    """A packed tar file whose names, attributes or maps of holes grow when they are unpacked."""
    kinds = [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
             tarfile.GNUTYPE_SPARSE]  # fmt: skip
    member = tarfile.TarInfo("./@LongLink")
    member.type, member.size = random.choice(kinds), int(10 ** random.uniform(2, 8.5))
    header, path = member.tobuf(tarfile.GNU_FORMAT), folder / "train-0.tar"
    content = header + bytes(member.size + -member.size % tarfile.BLOCKSIZE) + path.read_bytes()
    path.unlink()
    path.with_suffix(".tar.bz2").write_bytes(bz2.compress(content, 1))


def tar_sample(folder: Path, random: Random) -> None:
    """A packed tar file of a sample that has many large files."""
    path = folder / "train-0.tar"
    path.unlink()
    with tarfile.open(path.with_suffix(".tar.xz"), "w:xz", preset=0) as archive:
        for number in range(random.randint(1, 5)):
            member = tarfile.TarInfo(f"0.x{number}")
            member.size = int(10 ** random.uniform(6, 8.5))
            archive.addfile(member, io.BytesIO(bytes(member.size)))


def masked_checksum(content: bytes) -> bytes:
    """CRC-32C (Castagnoli), rotated and shifted as TFRecord has it."""
    crc = 2**32 - 1
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 2**32 - 1
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32).to_bytes(4, "little")


def record_lengths(folder: Path, random: Random) -> None:
    """A TFRecord file, packed or not, of a record that declares any number of bytes."""
    path = folder / "train-0.tfrecord"
    length = int(2 ** random.uniform(4, 64)).to_bytes(9, "little")[:8]
    content = path.read_bytes() + length + masked_checksum(length) + bytes(100)
    if random.random() < 0.5:
        path.unlink()
        path, content = path.with_name(f"{path.name}.gz"), gzip.compress(content)
    path.write_bytes(content)


def deep_folders(folder: Path, random: Random) -> None:
    """Folders in folders, and links in a circle."""
    place, depth = folder / "a", int(10 ** random.uniform(0, 3.3))
    here = os.open(place, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    if random.random() < 0.5:
        os.symlink(os.path.abspath(folder), "back", dir_fd=here)
    os.close(here)


def recoded(folder: Path, random: Random) -> None:
    """Tables in another encoding than UTF-8, whole or with a part cut off."""
    for path in folder.rglob("*.csv"):
        text = path.read_text(encoding="utf-8")
        if random.random() < 0.3:
            text = text.replace(",", random.choice(";\t|"))
        encoding = random.choice(
            ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp1252", "utf-7"]
        )
        content = text.encode(encoding)
        path.write_bytes(content[: random.choice((len(content), random.randint(0, len(content))))])
