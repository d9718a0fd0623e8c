"""What a sweep varies: options and their values, as a user names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_kd.errors import ConfigError

optuna = pytest.importorskip("optuna", reason="needs the extra sweep")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("temprature=1,2", "can't vary 'temprature'"),
        ("data=a,b", "can't vary 'data'"),
        ("alpha", "--vary takes"),
        ("alpha=", "--vary takes"),
        ("alpha=0.1,x", "--vary takes"),
        ("alpha=0.1:0.2:exp", "--vary takes"),
        ("alpha=0.2:0.1", "--vary takes"),
        ("alpha=0.5,1.5", "alpha must be between 0 and 1"),
        ("learning-rate=0:1", "learning_rate must be above 0"),
        ("alpha=0,0.0", "--vary names alpha=0.0 twice"),
        ("recipe=paper,fast", "recipe must be one of"),
        ("teacher=[a,b]", "--vary teacher begins with a bracket and is no TOML list of texts or"),
        ("teacher=[]", "--vary teacher begins with a bracket and is no TOML list of texts or"),
        ("teacher=[['a', 1]]", "teacher in --vary must be a text or a list of texts"),
        ("teacher=[{a = 1}]", "is no TOML list of texts or numbers"),
        ("alpha=['x']", "alpha must be a number"),
        ("alpha=[[1, 2]]", "is no TOML list of texts or numbers"),
    ],
)
def test_what_can_not_be_varied_is_told(text: str, told: str) -> None:
    from keras_kd.pipelines import sweep

    with pytest.raises(ConfigError, match=told):
        sweep.space([text])


def test_an_option_is_varied_once() -> None:
    from keras_kd.pipelines import sweep

    with pytest.raises(
        ConfigError, match="--vary names temperature twice: give all its values at once"
    ):
        sweep.space(["temp=1,2,3", "temperature=9"])


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("augment=mirror; strong,mirror", ("mirror", "strong,mirror")),
        ("teacher=a.keras,a.keras;b.keras", ("a.keras", "a.keras;b.keras")),
        ("augment=none,mirror", ("none", "mirror")),
        ("temp=1;2", (1.0, 2.0)),
        ('teacher=["a,b.keras", ["C", "D"]]', ("a,b.keras", "C;D")),
        ("match=['a:b:hint', ['a:b:hint', 'c:d:hint']]", ("a:b:hint", "a:b:hint;c:d:hint")),
        ("augment=['none', ['strong', 'mirror']]", ("none", "strong,mirror")),
        ("temp=[1, 2.5]", (1, 2.5)),
    ],
)
def test_semicolons_stand_between_values_that_have_commas(text: str, choices: tuple) -> None:
    from keras_kd.pipelines import sweep

    assert next(iter(sweep.space([text]).values())).choices == choices


def test_the_papers_study_is_the_default() -> None:
    from keras_kd.pipelines import sweep

    dimensions = sweep.space(sweep.PAPER)
    assert dimensions["temperature"].choices == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert dimensions["alpha"].choices == (0.10, 0.15, 0.20)


@pytest.mark.parametrize(
    ("texts", "trials", "count"),
    [
        (["learning-rate=0.1:0.2"], 10_001, "10,001"),
        (
            [f"{name}={','.join(map(str, range(101)))}" for name in ("seed", "patience")],
            None,
            "10,201",
        ),
    ],
)
def test_more_trials_than_a_queue_takes_are_refused_at_once(
    texts: list[str], trials: int | None, count: str, tmp_path: Path
) -> None:
    from keras_kd.pipelines import sweep

    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=f"at most 10,000 trials. Received: {count}"):
        sweep.sweep({}, sweep.space(texts), out, trials)
    assert not out.exists()
