"""Small data sets of every form, and how fuzz_readers reads them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 12
SIDE = 8


def picture(seed: int = 0, side: int = SIDE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def png() -> bytes:
    content = io.BytesIO()
    picture().save(content, "png")
    return content.getvalue()


def write_fer2013(folder: Path) -> None:
    pixels = " ".join(map(str, range(256))) + " 7" * (48 * 48 - 256)
    rows = [
        f"{number % 7},{pixels},{('Training', 'PublicTest', 'PrivateTest')[number % 3]}"
        for number in range(4)
    ]
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")


def read_fer2013(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"fer2013:{folder / 'fer2013.csv'}", "train")


def write_ferplus(folder: Path) -> None:
    write_fer2013(folder)
    usages = ("Training", "PublicTest", "PrivateTest", "Training")
    rows = [f"{usage},{number}.png,4,0,0,1,3,2,0,0,0,0" for number, usage in enumerate(usages)]
    header = (
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    )
    (folder / "fer2013new.csv").write_text("\n".join([header, *rows]) + "\n")


def read_ferplus(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"ferplus:{folder}", "train")


def write_rafdb(folder: Path) -> None:
    aligned = folder / "Image" / "aligned"
    aligned.mkdir(parents=True)
    lines = [
        f"{half}_{number}.jpg {number % 7 + 1}"
        for half in ("train", "test")
        for number in range(14)
    ]
    for line in lines:
        picture().save(aligned / f"{line.split('.')[0]}_aligned.jpg")
    (folder / "list_patition_label.txt").write_text("\n".join(lines) + "\n")


def read_rafdb(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"rafdb:{folder}", "train")


def write_parquet(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    images = [{"bytes": png(), "path": None}] * COUNT
    table = pyarrow.table({"image": images, "label": ["a", "b"] * (COUNT // 2)})
    pyarrow.parquet.write_table(table, folder / "train-00000-of-00001.parquet")


def read_parquet(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"parquet:{folder}", "train")


def write_affectnet(folder: Path) -> None:
    annotations, images = folder / "val_set" / "annotations", folder / "val_set" / "images"
    annotations.mkdir(parents=True)
    images.mkdir()
    for number in range(8):
        picture(side=80).save(images / f"{number}.jpg")
        parts = {
            "exp": str(number),
            "val": "0.5",
            "aro": -0.25,
            "lnd": np.arange(136.0).reshape(68, 2) / 2,
        }
        for part, value in parts.items():
            np.save(annotations / f"{number}_{part}.npy", value)


def read_affectnet(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"affectnet:{folder}", "test", size=SIDE)


def write_affectnet_csv(folder: Path) -> None:
    (folder / "1").mkdir()
    rows = ["subDirectory_filePath,facial_landmarks,expression,valence,arousal"]
    for number in range(8):
        picture(side=80).save(folder / "1" / f"{number}.jpg")
        rows.append(f"1/{number}.jpg,{';'.join(map(str, range(136)))},{number},0.5,-0.25")
    (folder / "validation.csv").write_text("\n".join(rows) + "\n")


def write_pictures(folder: Path) -> None:
    from keras_kd.datasets import decoding

    decoding.formats()  # registers HEIC where it can be read
    names = ["a.png", "b.jpg", "c.gif", "d.bmp", "e.tiff", "f.webp", "g.ppm", "l.avif", "m.jp2"]
    for name in (*names, *(["n.heic"] if ".heic" in decoding.suffixes() else [])):
        picture().save(folder / name)
    picture().convert("RGBA").save(folder / "o.png", save_all=True, append_images=[picture()])
    picture().convert("CMYK").save(folder / "p.tif")
    picture().convert("P").save(folder / "h.png", interlace=True)
    deep = np.asarray(picture().convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "i.png")
    picture().save(folder / "j.tif", compression="tiff_lzw")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(folder / "k.jpg", exif=exif, progressive=True)


def read_pictures(folder: Path) -> object:
    from keras_kd.datasets import decoding
    from keras_kd.errors import KerasKDError

    refused = None
    for path in sorted(folder.iterdir()):
        try:
            decoding.read(path)
        except KerasKDError as error:
            refused = error
    if refused:
        raise refused


def write_shards(folder: Path) -> None:
    for split in ("train", "validation", "test"):
        with tarfile.open(folder / f"{split}-0.tar", "w") as archive:
            for number in range(COUNT):
                for suffix, part in (("png", png()), ("cls", b"ab"[number % 2 :][:1])):
                    member = tarfile.TarInfo(f"{number}.{suffix}")
                    member.size = len(part)
                    archive.addfile(member, io.BytesIO(part))


def write_tfrecords(folder: Path) -> None:
    import tensorflow as tf

    def feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    for split in ("train", "validation", "test"):
        with tf.io.TFRecordWriter(str(folder / f"{split}-0.tfrecord")) as writer:
            for number in range(COUNT):
                fields = {"image": feature(png()), "label": feature(b"ab"[number % 2 :][:1])}
                example = tf.train.Example(features=tf.train.Features(feature=fields))
                writer.write(example.SerializeToString())


def read_shards(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"shards:{folder}", "train")


def write_class_folders(folder: Path) -> None:
    for number in range(COUNT):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        picture(number).save(path)


def read_class_folders(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(str(folder), "train")
