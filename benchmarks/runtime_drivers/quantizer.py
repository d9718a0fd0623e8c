"""Quantize a float32 .tflite file by AI Edge Quantizer.

    python quantizer.py RECIPE MODEL IMAGES.npy OUT KEEP

RECIPE is a function of ai_edge_quantizer.recipe; IMAGES, as the file takes them, calibrate. KEEP is
1 if all up to the first convolution stays float32, and else 0.
"""

import re
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_quantizer import quantizer, recipe


def up_to_first_convolution(model):
    """The names of the outputs of the operators up to the first convolution wider than a pixel."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    tensors = {one["index"]: one for one in interpreter.get_tensor_details()}
    for one in interpreter._get_ops_details():
        yield tensors[int(one["outputs"][0])]["name"]
        if one["op_name"] == "CONV_2D" and tensors[int(one["inputs"][1])]["shape"][1] > 1:
            return


def main(name, model, images, out, keep):
    made = quantizer.Quantizer(model)
    made.load_quantization_recipe(getattr(recipe, name)())
    for kept in up_to_first_convolution(model) if keep == "1" else ():
        made.update_quantization_recipe(re.escape(kept), "*", algorithm_key="no_quantize")
    ranges = None
    if made.need_calibration:
        signature = Interpreter(model).get_signature_list()
        ((key, tensors),) = signature.items()
        rows = [{tensors["inputs"][0]: image[None]} for image in np.load(images)]
        ranges = made.calibrate({key: rows}, num_threads=1)
    made.quantize(ranges, enable_progress_report=False).export_model(out, overwrite=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
