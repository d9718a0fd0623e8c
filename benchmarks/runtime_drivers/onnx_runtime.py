"""Run .onnx files by ONNX Runtime; arguments as of tflite.py."""

import onnxruntime
import rows


def compute(kind, model, save):
    """Run one file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    save(lambda image: session.run(None, {name: image[None]})[0][0])


if __name__ == "__main__":
    rows.main(compute)
