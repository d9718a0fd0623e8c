"""The pages say what docs/results/runtimes.csv says, and have no cell of another run."""

from __future__ import annotations

import pandas as pd
import pytest
import runtime_cards
import runtime_files
import runtimes

SHIPPED = sorted(path.parent.name for path in runtime_files.EXPORTS.glob("*/model.tflite"))


@pytest.fixture(scope="module")
def rows():
    return pd.read_csv(runtimes.CSV).fillna({"reason": ""})


def test_the_table_is_that_of_the_csv(rows):
    assert runtimes.page(rows, runtimes.IMAGES, "faces") in runtimes.PAGE.read_text("utf-8")


@pytest.mark.parametrize("model", SHIPPED)
def test_a_card_says_where_its_file_was_run(model, rows):
    if not (rows["model"] == model).any():
        pytest.skip(f"{model} was not run yet: `make runtimes`")
    card = (runtime_files.EXPORTS / model / "README.md").read_text("utf-8")
    told = runtime_cards.line(rows, model, runtimes.IMAGES, "faces")
    assert told in card.splitlines()
    shipped = rows[(rows["model"] == model) & (rows["kind"] == "shipped")]
    wrong = shipped.loc[shipped["largest_difference"] > 0.1, "runtime"]
    assert all(name in told for name in shipped["runtime"])
    assert all(f"Wrong on {name}" in told for name in wrong)
