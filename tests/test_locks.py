"""Locked versions: within the bounds of setup.cfg, and in agreement with each other and the bill of
materials.
"""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
EXTRAS = {
    name: [Requirement(line) for line in lines.split("\n") if line]
    for name, lines in SETUP["options.extras_require"].items()
}
BASE = [Requirement(line) for line in SETUP["options"]["install_requires"].split("\n") if line]


def _pins(path: Path) -> dict[str, str]:
    requirements = [Requirement(line) for line in path.read_text().splitlines() if line]
    assert all(len(requirement.specifier) == 1 for requirement in requirements)
    return {
        canonicalize_name(item.name): next(iter(item.specifier)).version for item in requirements
    }


TESTED = _pins(ROOT / "requirements.lock")


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev"}))
def test_each_extra_has_a_lock_within_its_bounds(extra):
    pins = _pins(ROOT / "locks" / f"{extra}.lock")
    for requirement in BASE + EXTRAS[extra]:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), (
            requirement
        )
    differing = {name for name in pins.keys() & TESTED.keys() if pins[name] != TESTED[name]}
    assert not differing, "run make lock"


def test_what_is_tested_is_within_the_bounds():
    tested = BASE + EXTRAS["dev"] + EXTRAS["onnx"] + EXTRAS["sessions"]
    own = [item for item in tested if item.name != "keras-kd"]
    for requirement in own:
        assert requirement.specifier.contains(TESTED[canonicalize_name(requirement.name)]), (
            requirement
        )


def test_the_bill_of_materials_lists_what_is_tested():
    components = json.loads((ROOT / "sbom.json").read_text())["components"]
    assert {canonicalize_name(part["name"]): part["version"] for part in components} == TESTED
    assert {part["purl"] for part in components} == {
        f"pkg:pypi/{name}@{version}" for name, version in TESTED.items()
    }


def test_the_hashes_are_of_what_is_tested():
    """`make hashed` installs nothing else: pip checks each file against them."""
    lines = (ROOT / "locks" / "hashes.txt").read_text().replace("\\\n", "").splitlines()
    pins = {}
    for line in lines:
        pinned, *hashes = line.split()
        name, _, version = pinned.partition("==")
        pins[canonicalize_name(name)] = version
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes)
    assert pins == TESTED, "run make lock"
