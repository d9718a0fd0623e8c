"""Run an .onnx file by ONNX Runtime; arguments as of tflite.py."""

import sys
import time

import numpy as np
import onnxruntime


def main(kind, model, images, outputs, seconds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    begun, rows = time.perf_counter(), []
    for image in np.load(images):
        rows.append(session.run(None, {name: image[None]})[0][0])
        if time.perf_counter() - begun > float(seconds):
            break
    np.save(outputs, np.array(rows, np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
