"""Run a .tflite file by TensorFlow Lite for Microcontrollers; arguments as of tflite.py."""

import sys
import time

import numpy as np
from tflite_micro.python.tflite_micro import runtime

ARENA = 64 * 2**20


def main(kind, model, images, outputs, seconds):
    interpreter = runtime.Interpreter.from_file(model, arena_size=ARENA)
    details = interpreter.get_output_details(0)["quantization_parameters"]
    scale, zero = ([*details[name], 0][0] for name in ("scales", "zero_points"))
    begun, rows = time.perf_counter(), []
    for image in np.load(images):
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        row = interpreter.get_output(0)[0].astype(np.float32)
        rows.append((row - zero) * scale if scale else row)
        if time.perf_counter() - begun > float(seconds):
            break
    np.save(outputs, np.stack(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
