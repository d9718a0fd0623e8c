"""Files of several signatures: the one that apps run, or a refusal."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from keras_kd.errors import ModelError
from keras_kd.exporters.bundle import SHIPPED
from keras_kd.runtimes import tflite_graph
from keras_kd.runtimes.litert import LiteRTModel


def _with_signatures(path: Path, names: list[str], graphs: list[int]) -> Path:
    """B's file with its graph twice, and signatures of either."""
    model = tflite_graph.unpacked((SHIPPED / "model.tflite").read_bytes())
    model.subgraphs.append(copy.deepcopy(model.subgraphs[0]))
    # The second graph's output is another tensor, so that it can be told from the first.
    model.subgraphs[1].outputs = [model.subgraphs[1].operators[-2].outputs[0]]
    (signature,) = model.signatureDefs
    model.signatureDefs = []
    for name, graph in zip(names, graphs, strict=True):
        one = copy.deepcopy(signature)
        one.signatureKey, one.subgraphIndex = name.encode(), graph
        one.outputs[0].tensorIndex = model.subgraphs[graph].outputs[0]
        model.signatureDefs.append(one)
    path.write_bytes(tflite_graph.packed(model))
    return path


def test_the_served_signature_is_taken_if_it_is_the_main_graph(tmp_path: Path) -> None:
    names = ["calibrate", "serving_default"]
    file = _with_signatures(tmp_path / "a.tflite", names, [1, 0])
    shipped = LiteRTModel(SHIPPED / "model.tflite")
    assert LiteRTModel(file, trusted=True).output_indices == shipped.output_indices


@pytest.mark.parametrize(
    ("names", "graphs"),
    [(["calibrate", "serving_default"], [0, 1]), (["features", "scores"], [0, 1])],
)
def test_other_signatures_are_refused_by_name(
    names: list[str], graphs: list[int], tmp_path: Path
) -> None:
    file = _with_signatures(tmp_path / "a.tflite", names, graphs)
    with pytest.raises(ModelError, match=f"signatures {', '.join(names)}: expected one alone"):
        LiteRTModel(file, trusted=True)
