"""PyTorch's pickles read without running them: a small machine that knows containers, numbers and
tensors only.

Python's own unpickler calls whatever a file names. Here a name is only ever compared with the few
that stand for tensors, and everything else is refused.
"""

from __future__ import annotations

import mmap
import pickletools
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

from keras_kd.errors import ModelError

# Checkpoints with an optimizer's state take some 0.5 MB; a hostile one can cost 100 times its size
# in memory.
LARGEST_PICKLE = 2 * 2**20
MOST_AXES = 8

Readable: TypeAlias = IO[bytes] | mmap.mmap

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Refused(ModelError):
    """The file asks for more than tensors."""


@dataclass(frozen=True)
class Global:
    """A name that the file refers to, e.g. torch.FloatStorage; never looked up."""

    name: str


@dataclass(frozen=True)
class Storage:
    """Numbers in the file, by the name of their type and their key; `count` of them."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(stream: Readable) -> Any:
    """Read one pickle from where `stream` stands to its end; what it holds as dict, list, tuple,
    number, text, Tensor.

    Raises:
        Refused: it names anything but tensors and containers.
        ValueError, LookupError, TypeError: it is damaged.
    """
    return _Machine().run(stream)


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: Readable) -> Any:
        start = stream.tell()
        # genops only reads, which its annotation does not say.
        operations = pickletools.genops(stream)  # type: ignore[arg-type]
        for operation, argument, position in operations:
            if position - start > LARGEST_PICKLE:
                raise Refused(
                    f"its description of the tensors is longer than {LARGEST_PICKLE:,} bytes"
                )
            if operation.name != "STOP":
                self._step(operation.name, argument)
        return self.stack.pop()

    def _step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _VALUES:
            self.stack.append(argument)
        elif name in _TUPLES:
            self._gather(len(self.stack) - _TUPLES[name])
        elif name == "TUPLE":
            self._gather(self.marks.pop())
        elif name == "GLOBAL":
            self.stack.append(Global(argument.replace(" ", ".")))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name not in ("PROTO", "FRAME"):
            self._act(name)

    def _act(self, name: str) -> None:
        """The operations without an argument that do more than push a constant."""
        stack = self.stack
        if name == "MARK":
            self.marks.append(len(stack))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in ("SETITEM", "SETITEMS"):
            items = self._popped(len(stack) - 2 if name == "SETITEM" else self.marks.pop())
            for key, value in zip(items[::2], items[1::2], strict=True):
                # Other keys could cost unbounded time to hash.
                _of_type(stack[-1], dict)[_of_type(key, str, int)] = value
        elif name in ("APPEND", "APPENDS"):
            items = self._popped(len(stack) - 1 if name == "APPEND" else self.marks.pop())
            _of_type(stack[-1], list).extend(items)
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "STACK_GLOBAL":
            module, attribute = self._popped(len(stack) - 2)
            stack.append(Global(f"{_of_type(module, str)}.{_of_type(attribute, str)}"))
        elif name in ("REDUCE", "NEWOBJ"):
            called, arguments = self._popped(len(stack) - 2)
            stack.append(_called(_of_type(called, Global).name, _of_type(arguments, tuple)))
        elif name == "BUILD":
            # The attributes of a state dict, e.g. the versions of its layers: not needed.
            stack.pop()
            _of_type(stack[-1], dict)
        else:
            raise Refused(f"it asks for the pickle operation {name}")

    def _popped(self, start: int) -> list[Any]:
        if start < 0:
            raise IndexError("stack underflow")
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _gather(self, start: int) -> None:
        self.stack.append(tuple(self._popped(start)))


def _of_type(value: Any, *types: type) -> Any:
    if not isinstance(value, types):
        raise TypeError(f"{type(value).__name__} where {types[0].__name__} belongs")
    return value


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    """What PyTorch's functions for rebuilding give for their arguments."""
    if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        return _tensor(*arguments[:4])
    if name == "torch._utils._rebuild_parameter":
        return _of_type(arguments[0], Tensor)
    if name == "collections.OrderedDict" and not arguments:
        return {}
    if name in ("torch.Size", "torch.device"):
        return arguments[0]
    raise Refused(f"it asks for {name[:80]!r}, which is no tensor")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    _of_type(storage, Storage)
    numbers = (offset, *_of_type(shape, tuple), *_of_type(strides, tuple))
    if (
        len(shape) != len(strides)
        or len(shape) > MOST_AXES
        or any(_of_type(number, int) < 0 for number in numbers)
    ):
        raise ValueError("a tensor's shape makes no sense")
    return Tensor(storage, offset, shape, strides)


def _storage(identity: Any) -> Storage:
    """("storage", type, key, device, count, ...) as PyTorch's persistent identities are."""
    mark, kind, *rest = _of_type(identity, tuple)
    if mark != "storage":
        raise Refused(f"it asks for {_of_type(kind, Global).name[:80]!r}, which is no tensor")
    return Storage(_of_type(kind, Global).name, _of_type(rest[0], str), _of_type(rest[2], int))
