"""Pictures for tables of image files: a picture's gray tells which one it is."""

from __future__ import annotations

from PIL import Image


def picture(path, value, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (9, 7), value if mode == "L" else (value, 0, 0)).save(path)


def rows(folder, labels, start=0, count=3, where=""):
    """`count` lines a label, `FILE,LABEL`, and their pictures of gray values from `start` on."""
    lines = []
    for label in labels:
        for _ in range(count):
            picture(folder / where / f"{start}.png", start)
            lines.append(f"{where}{start}.png,{label}")
            start += 1
    return lines


def values(samples):
    return samples.images[:, 0, 0, 0].tolist()
