"""Names made of facts: what was made of the same has the same name, whatever this code calls it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def identity(kind: str, version: int, facts: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that name something by what it was made from.

    They are the start of SHA-256 over {"facts", "kind", "version"} as JSON with sorted keys and
    without spaces, so that they depend on no name in this code.

    Args:
        kind: of the thing, e.g. "teacher".
        version: of the list of facts; a higher one whenever their meaning changes.
        facts: texts, numbers, booleans, None, and lists and dictionaries of such.
    """
    whole = {"kind": kind, "version": version, "facts": facts}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
