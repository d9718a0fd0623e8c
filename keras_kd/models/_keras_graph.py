"""Check of a Functional model's graph: every layer is called, and an output depends on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any


class Refused(ValueError):
    """A configuration names or declares something that no model file may; the message names the
    layer.
    """


def require_needed(config: dict[str, Any], layer: str) -> None:
    """Raise Refused for a layer on which no output depends, or that has no input."""
    layers = config["layers"]
    names = Counter(str(one.get("name")) for one in layers)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise Refused(f"{layer} has two layers called {twice[:100]!r}")
    takes = {str(one.get("name")): _sources(one) for one in layers}
    reached = set(_names(config["output_layers"]))
    fresh = list(reached)
    while fresh:
        found = takes.get(fresh.pop(), set()) - reached
        reached |= found
        fresh += found
    reached |= set(_names(config.get("input_layers")))
    spare = [name for name in names if name not in reached]
    if spare:
        raise Refused(f"no output needs its layer {spare[0][:100]!r}")


def _sources(layer: dict[str, Any]) -> set[str]:
    """Return the names of the layers that feed a layer."""
    found: set[str] = set()
    nodes = layer.get("inbound_nodes")
    for node in nodes if isinstance(nodes, list) else []:
        sources = set(_histories(node))
        if not sources:
            # Keras would compute it at once, whatever its size.
            raise Refused(
                f"its layer {str(layer.get('name'))[:100]!r} takes nothing from another layer"
            )
        found |= sources
    return found


def _histories(node: Any) -> Iterator[str]:
    """The layers that the tensors in a node come from."""
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, dict) and part.get("class_name") == "__keras_tensor__":
            history = part["config"].get("keras_history")
            yield from [str(history[0])] if isinstance(history, list) and history else []
        elif isinstance(part, (list, tuple, dict)):
            left += part.values() if isinstance(part, dict) else part


def _names(value: Any) -> Iterator[str]:
    """All strings in a structure of outputs, which name their layers."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, (list, tuple, dict)):
            left += part.values() if isinstance(part, dict) else part
