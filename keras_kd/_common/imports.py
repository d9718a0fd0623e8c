"""Imports without packages that the imported one only offers to others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Have imports within the block take packages for missing, unless they were imported before.

    Keras imports scikit-learn and matplotlib, where they are, for wrappers and galleries of its
    own: more than a quarter of the time that `import tensorflow` takes. Later imports find them.
    """
    own = [name for name in names if name not in sys.modules]
    # Python's sign for a module that can't be imported.
    sys.modules.update(dict.fromkeys(own))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in own:
            del sys.modules[name]
