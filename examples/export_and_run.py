"""A Keras model as an int8 file, run as an app would run it.

python examples/export_and_run.py
"""

import tempfile
from pathlib import Path

import numpy as np
import shapes
from ai_edge_litert.interpreter import Interpreter

import keras_kd

images, _ = shapes.drawn(64)
student = keras_kd.models.build("C", num_classes=2, input_shape=(32, 32, 1), seed=0)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "student.tflite")
    made = keras_kd.export(
        student, path, format="int8", samples=images, value_range=(0, 255), min_agreement=0
    )
    print(f"{made.bytes:,} bytes, largest difference {made.max_difference:.3f} of the spread")
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], images[:1].astype(np.float32)
    )
    interpreter.invoke()
    print("logits", interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
