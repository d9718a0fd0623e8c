"""Near copies among random hashes: hashes that agree in a band, against all pairs.

    .venv/bin/python benchmarks/near_copies.py 50000 200000 1000000 --all-pairs 200000

A tenth of the hashes are looked for among eight tenths, as test images among training images; every
tenth of them has up to 49 bits of one of the others changed. All pairs are compared of up to
`--all-pairs` hashes, by the matrix product of their bits, and must give the same answer. Prints
processor seconds, and what hashing an image takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from keras_kd._common.markdown import table
from keras_kd.datasets import duplicates

CHUNK = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="+", metavar="HASHES")
    parser.add_argument("--all-pairs", type=int, default=50_000, metavar="HASHES")
    asked = parser.parse_args()
    rows = []
    for count in asked.counts:
        hashes, others = drawn(count)
        seconds, found = timed(duplicates.look_alike, hashes, others)
        row = [f"{count:,}", f"{int(found.sum()):,}", f"{seconds:.1f}", "–"]
        if count <= asked.all_pairs:
            seconds, expected = timed(of_all_pairs, bits(hashes), bits(others))
            assert (found == expected).all()
            row[-1] = f"{seconds:.1f}"
        rows.append(row)
    pictures = np.random.default_rng(0).integers(0, 256, (1000, 64, 64, 3), np.uint8)
    seconds, _ = timed(duplicates.perceptual_hashes, pictures)
    print(
        f"An image of 64x64 pixels in colour is hashed in {1000 * seconds / len(pictures):.2f} ms."
    )
    print(table(["hashes", "near copies", "by bands, s", "all pairs, s"], rows))


def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return hashes to look for and those among which, each uint64 (N, 4)."""
    random = np.random.default_rng(0)
    others = random.integers(0, 2**64, (count * 8 // 10, 4), np.uint64)
    hashes = random.integers(0, 2**64, (count // 10, 4), np.uint64)
    changed = bits(others[: count // 100])
    for row in changed:
        row[random.choice(row.size, random.integers(0, 50), replace=False)] ^= 1
    hashes[: len(changed)] = np.packbits(changed, axis=1).view(np.uint64)
    return hashes, others


def bits(hashes: np.ndarray) -> np.ndarray:
    """Return uint8 (N, 256) of uint64 (N, 4)."""
    return np.unpackbits(hashes.view(np.uint8), axis=1)


def of_all_pairs(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which hashes differ from one of the others in NEAR bits or fewer, bool (N,)."""
    nearest = np.full(len(hashes), np.inf)
    for start in range(0, len(hashes), CHUNK):
        rows = slice(start, start + CHUNK)
        own = hashes[rows].astype(np.float32)
        for other in range(0, len(others), CHUNK):
            against = others[other : other + CHUNK].astype(np.float32)
            differing = own.sum(axis=1)[:, None] + against.sum(axis=1) - 2 * own @ against.T
            nearest[rows] = np.minimum(nearest[rows], differing.min(axis=1))
    return nearest <= duplicates.NEAR


def timed(find: Callable[..., np.ndarray], *arguments: np.ndarray) -> tuple[float, np.ndarray]:
    start = time.process_time()
    found = find(*arguments)
    return time.process_time() - start, found


if __name__ == "__main__":
    main()
