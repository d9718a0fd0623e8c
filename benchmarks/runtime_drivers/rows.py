"""The loops that all drivers share; Python 3.8 and numpy suffice."""

import functools
import json
import os
import sys
import time
import traceback

import numpy as np


def main(compute):
    """Do each job of a file: `compute(kind, model, save)` calls `save(run)`, which runs the images.

    What is said to stderr goes to a text file beside the outputs, native libraries' words too.
    """
    kind, jobs, seconds = sys.argv[1:4]
    for model, images, start, outputs in listed(jobs):
        said = os.open(outputs + ".txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 2)
        os.close(said)
        try:
            compute(kind, model, functools.partial(save, images, start, outputs, seconds))
        except Exception:
            traceback.print_exc()
        sys.stderr.flush()


def listed(jobs):
    """Return the jobs of a file: lists of model, images, the first image's number and outputs."""
    with open(jobs) as file:
        return json.load(file)


def save(images, start, outputs, seconds, run):
    """Write `run` of each image of a .npy file from one on, as many as the time allows.

    The time is the processor's, so that a busy machine computes as many. Outputs are float32.
    """
    begun, rows = time.process_time(), []
    for image in np.load(images, mmap_mode="r")[start:]:
        rows.append(run(np.array(image)))
        if time.process_time() - begun > float(seconds):
            break
    write(outputs, rows)


def write(outputs, rows):
    """Write the rows in one step, so that a file that is there is whole."""
    with open(outputs + ".part", "wb") as file:
        np.save(file, np.array(rows, np.float32))
    os.rename(outputs + ".part", outputs)


def dequantized(row, scale, zero):
    """Return a row as float32; a scale of 0 means that it is one already."""
    row = row.astype(np.float32)
    return (row - zero) * scale if scale else row
