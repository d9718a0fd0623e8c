"""Names made of facts: fixed values, worked out by sha256sum."""

from keras_kd._common.identity import identity


def test_the_name_is_the_start_of_sha256_over_sorted_json() -> None:
    # printf '{"facts":{"a":[1,null],"b":"x"},"kind":"teacher","version":2}' | sha256sum
    assert identity("teacher", 2, {"b": "x", "a": (1, None)}) == "3f702b4b42e3e3aa"


def test_kind_version_and_facts_all_count() -> None:
    names = {
        identity("teacher", 2, {"a": 1}),
        identity("teacher", 3, {"a": 1}),
        identity("model", 2, {"a": 1}),
        identity("teacher", 2, {"a": 2}),
    }
    assert len(names) == 4
