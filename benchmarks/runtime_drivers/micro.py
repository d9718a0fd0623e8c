"""Run .tflite files by TensorFlow Lite for Microcontrollers; arguments as of tflite.py."""

import rows
from tflite_micro.python.tflite_micro import runtime

ARENA = 64 * 2**20


def compute(kind, model, save):
    """Run one file."""
    interpreter = runtime.Interpreter.from_file(model, arena_size=ARENA)
    details = interpreter.get_output_details(0)["quantization_parameters"]
    scale, zero = ([*details[name], 0][0] for name in ("scales", "zero_points"))

    def run(image):
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        return rows.dequantized(interpreter.get_output(0)[0], scale, zero)

    save(run)


if __name__ == "__main__":
    rows.main(compute)
