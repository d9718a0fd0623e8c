"""The loop that all drivers share; Python 3.8 and numpy suffice."""

import time

import numpy as np


def save(run, images, outputs, seconds):
    """Write `run` of each image of a .npy file, as many as the time allows, as float32.

    The time is the processor's, so that a busy machine computes as many.
    """
    begun, rows = time.process_time(), []
    for image in np.load(images):
        rows.append(run(image))
        if time.process_time() - begun > float(seconds):
            break
    np.save(outputs, np.array(rows, np.float32))


def dequantized(row, scale, zero):
    """Return a row as float32; a scale of 0 means that it is one already."""
    row = row.astype(np.float32)
    return (row - zero) * scale if scale else row
