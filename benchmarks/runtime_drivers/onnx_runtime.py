"""Run an .onnx file by ONNX Runtime; arguments as of tflite.py."""

import sys

import onnxruntime
import rows


def main(kind, model, images, outputs, seconds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows.save(lambda image: session.run(None, {name: image[None]})[0][0], images, outputs, seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
