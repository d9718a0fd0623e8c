"""New operators in the graph of a `.tflite` file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_kd.runtimes.tflite_file import packed, unpacked

_OF_INT8 = 3  # the version of convolutions, depthwise ones too


def operator_number(model: schema.ModelT, one: schema.OperatorT) -> int:
    """Return which of `BuiltinOperator` an operator is."""
    return code_number(model.operatorCodes[one.opcodeIndex])


def code_number(code: schema.OperatorCodeT) -> int:
    """Return which of `BuiltinOperator` a code stands for: old ones have a byte for it."""
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def rewritten(content: bytes, change: Callable[[schema.ModelT, schema.SubGraphT], bool]) -> bytes:
    """Return a `.tflite` file's bytes with a change of each graph.

    Args:
        content: the file, without archives at its end.
        change: changes a graph of the model, and returns whether it did.

    Returns:
        The file; `content` itself where nothing was changed.
    """
    model = unpacked(content)
    changed = [change(model, graph) for graph in model.subgraphs]
    return packed(model) if any(changed) else content


class GraphWriter:
    """Adds tensors and operators to a graph of a `.tflite` file."""

    def __init__(self, model: schema.ModelT, graph: schema.SubGraphT):
        self.model, self.graph = model, graph

    def integers(self, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        """A tensor that is computed, int8."""
        return self._tensor(shape, schema.TensorType.INT8, [scale], int(zero_point))

    def floats(self, shape: tuple[int, ...]) -> int:
        """A tensor that is computed, float32."""
        return self._tensor(shape, schema.TensorType.FLOAT32, None, 0)

    def like(self, other: schema.TensorT, shape: tuple[int, ...]) -> int:
        """A tensor that is computed, of the type and scale of another."""
        number = self._tensor(shape, other.type, None, 0)
        self.graph.tensors[number].quantization = other.quantization
        return number

    def depthwise(
        self, given: int, kernel: np.ndarray, output: int, strides: tuple[int, int], padded: bool
    ) -> schema.OperatorT:
        """Convolve each channel of int8 or float32 by whole numbers (1, H, W, C)."""
        options = schema.DepthwiseConv2DOptionsT()
        options.strideH, options.strideW = strides
        options.depthMultiplier = options.dilationHFactor = options.dilationWFactor = 1
        options.padding = schema.Padding.SAME if padded else schema.Padding.VALID
        one = schema.OperatorT()
        one.builtinOptionsType = schema.BuiltinOptions.DepthwiseConv2DOptions
        one.builtinOptions = options
        zeros = np.zeros(kernel.shape[3])
        constants, version = self._for(given, kernel, zeros)
        code = self._code(schema.BuiltinOperator.DEPTHWISE_CONV_2D, version)
        return self.operator(code, [given, *constants], output, one)

    def _for(self, given: int, kernel: np.ndarray, bias: np.ndarray) -> tuple[list[int], int]:
        """Constants of a scale of 1 for an input's type, and the operator's version."""
        tensor, kind = self.graph.tensors[given], schema.TensorType
        if tensor.type == kind.FLOAT32:
            values = (kernel.astype(np.float32), bias.astype(np.float32))
            return [self._constant(one, kind.FLOAT32, None) for one in values], 1
        ones = np.ones(len(bias))  # a scale a channel, which depthwise kernels require
        weights = self._constant(kernel.astype(np.int8), kind.INT8, ones)
        self.graph.tensors[weights].quantization.quantizedDimension = 3
        scales = ones * tensor.quantization.scale[0]
        return [weights, self._constant(bias.astype(np.int32), kind.INT32, scales)], _OF_INT8

    def convolution(
        self, given: int, kernels: np.ndarray, bias: np.ndarray, scales: np.ndarray, output: int,
        like: Any = None,
    ) -> schema.OperatorT:  # fmt: skip
        """Convolve int8 by whole numbers; `like` has vertical stride, padding and activation."""
        scales = scales * self.graph.tensors[given].quantization.scale[0]
        weights = self._constant(kernels.astype(np.int8), schema.TensorType.INT8, scales)
        whole = np.round(bias / scales).astype(np.int32)
        offsets = self._constant(whole, schema.TensorType.INT32, scales)
        convolution = _convolution()
        if like is not None:
            options = convolution.builtinOptions
            options.strideH, options.padding = like.strideH, like.padding
            options.fusedActivationFunction = like.fusedActivationFunction
        code = self._code(schema.BuiltinOperator.CONV_2D, _OF_INT8)
        return self.operator(code, [given, weights, offsets], output, convolution)

    def float_convolution(
        self, given: int, kernel: np.ndarray, bias: np.ndarray, output: int
    ) -> schema.OperatorT:
        """Convolve float32 without strides and padding, by a kernel (outputs, H, W, inputs)."""
        values = (kernel.astype(np.float32), bias.astype(np.float32))
        constants = [self._constant(one, schema.TensorType.FLOAT32, None) for one in values]
        code = self._code(schema.BuiltinOperator.CONV_2D, 1)
        return self.operator(code, [given, *constants], output, _convolution())

    def cast(self, given: int, output: int) -> schema.OperatorT:
        """The same numbers in the type of another tensor."""
        one = schema.OperatorT()
        one.builtinOptionsType = schema.BuiltinOptions.CastOptions
        one.builtinOptions = schema.CastOptionsT()
        one.builtinOptions.inDataType = self.graph.tensors[given].type
        one.builtinOptions.outDataType = self.graph.tensors[output].type
        code = self._code(schema.BuiltinOperator.CAST, 1)
        return self.operator(code, [given], output, one)

    def reshaped(self, given: int, output: int) -> schema.OperatorT:
        """The same numbers in the shape of another tensor."""
        shape = np.array(self.graph.tensors[output].shape, np.int32)
        one = schema.OperatorT()
        one.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        one.builtinOptions = schema.ReshapeOptionsT()
        one.builtinOptions.newShape = shape.tolist()
        sizes = self._constant(shape, schema.TensorType.INT32, None)
        return self.operator(
            self._code(schema.BuiltinOperator.RESHAPE, 1), [given, sizes], output, one
        )

    def slice(self, given: int, begin: np.ndarray, output: int) -> schema.OperatorT:
        """A part of a tensor from whole numbers `begin` on, of the shape of another."""
        size = np.array(self.graph.tensors[output].shape, np.int32)
        places = [
            self._constant(one, schema.TensorType.INT32, None) for one in (begin.copy(), size)
        ]
        one = schema.OperatorT()
        one.builtinOptionsType = schema.BuiltinOptions.SliceOptions
        one.builtinOptions = schema.SliceOptionsT()
        code = self._code(schema.BuiltinOperator.SLICE, 1)
        return self.operator(code, [given, *places], output, one)

    def int16_difference(self, given: list[int], output: int) -> schema.OperatorT:
        """The first of two int16 tensors less the second."""
        one = schema.OperatorT()
        one.builtinOptionsType = schema.BuiltinOptions.SubOptions
        one.builtinOptions = schema.SubOptionsT()
        one.builtinOptions.potScaleInt16 = False  # scales may be any number
        return self.operator(self._code(schema.BuiltinOperator.SUB, 5), given, output, one)

    def int16_product(self, given: list[int], output: int) -> schema.OperatorT:
        """The product of two int16 tensors."""
        one = schema.OperatorT()
        one.builtinOptionsType = schema.BuiltinOptions.MulOptions
        one.builtinOptions = schema.MulOptionsT()
        return self.operator(self._code(schema.BuiltinOperator.MUL, 4), given, output, one)

    def operator(
        self, code: int, inputs: list[int], output: int, like: schema.OperatorT
    ) -> schema.OperatorT:
        """An operator with the options of another."""
        one = schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = code, inputs, [output]
        one.builtinOptionsType, one.builtinOptions = like.builtinOptionsType, like.builtinOptions
        return one

    def _code(self, number: int, version: int) -> int:
        for place, known in enumerate(self.model.operatorCodes):
            if (code_number(known), known.version) == (number, version):
                return place
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = number
        code.version = version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def _constant(self, values: np.ndarray, kind: int, scales: np.ndarray | None) -> int:
        self.model.buffers.append(schema.BufferT(data=values.view(np.uint8).ravel()))
        number = self._tensor(values.shape, kind, scales, 0)
        self.graph.tensors[number].buffer = len(self.model.buffers) - 1
        return number

    def _tensor(self, shape: tuple[int, ...], kind: int, scales: Any, zero_point: int) -> int:
        number = len(self.graph.tensors)
        tensor = schema.TensorT(shape=list(map(int, shape)), type=kind)
        tensor.name = f"keras_kd/{number}".encode()
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [float(scale) for scale in scales]
            tensor.quantization.zeroPoint = [zero_point] * len(scales)
        self.graph.tensors.append(tensor)
        return number


def _convolution() -> schema.OperatorT:
    """A convolution without strides and padding, whose tensors are not set."""
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    options.padding = schema.Padding.VALID
    one = schema.OperatorT()
    one.builtinOptionsType, one.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    return one
