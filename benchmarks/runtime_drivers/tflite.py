"""Run .tflite files by TensorFlow Lite's or LiteRT's Interpreter; Python 3.8 and numpy suffice.

    python tflite.py KIND JOBS.json SECONDS

KIND is "default", "plain" (built-in kernels without XNNPACK) or "reference". A job is a list of
model, images (.npy), the first image's number and outputs. Drivers write the outputs of the images
that they could run in the time, as float32, whatever the file's type is.
"""

import rows

try:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
except ImportError:
    from tflite_runtime.interpreter import Interpreter, OpResolverType

RESOLVERS = {
    "default": OpResolverType.AUTO,
    "plain": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}


def compute(kind, model, save):
    """Run one file."""
    interpreter = Interpreter(model, num_threads=1, experimental_op_resolver_type=RESOLVERS[kind])
    interpreter.allocate_tensors()
    given, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = answer["quantization"]

    def run(image):
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        return rows.dequantized(interpreter.get_tensor(answer["index"])[0], scale, zero)

    save(run)


if __name__ == "__main__":
    rows.main(compute)
