"""Options: one definition each, checked wherever they come from, the same after a trip through
TOML.
"""

from __future__ import annotations

import dataclasses
import tomllib

import click
import pytest
from keras_kd.cli import options

from keras_kd import config
from keras_kd.config import Config
from keras_kd.errors import ConfigError
from keras_kd.pipelines import plan, statements

# One of these is a value other than the default for any option without choices.
CANDIDATES = (True, False, 11, 1e-06, 'file "ü" \\ \t\x7f\r\n.keras')


def _other(name):
    """A value other than the default."""
    spec = config.fields()[name]
    fits = (spec.metadata["check"] or (lambda value: True,))[0]
    return next(
        value
        for value in spec.metadata["choices"]
        or (*CANDIDATES, "dist(class_weight=2)", "crops,mixup", "tensorboard:logs", "a:b:hint")
        if type(value) is config.kind(name) and value != spec.default and fits(value)
    )


def _file(tmp_path, text):
    path = tmp_path / "options.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_default_and_every_recipe_passes_its_own_check():
    for recipe in config.RECIPES:
        effective = Config(recipe=recipe).effective()
        for name, value in config.RECIPES[recipe].items():
            assert getattr(effective, name) == value
        # What stays None is left to the data or to files, or follows from another option.
        left = {
            "beta",
            "body_rate",
            "callback",
            "freeze_until",
            "head_rate",
            "heads",
            "log",
            "match",
            "pretrained",
            "soft_labels",
            "start_from",
            "student_channel_order",
            "student_classes",
            "student_mean",
            "student_range",
            "student_std",
            "teacher",
            "teacher_channel_order",
            "teacher_head",
            "teacher_input",
            "teacher_mean",
            "teacher_std",
            "teacher_range",
            "teacher_output",
            "teacher_classes",
            "unlabeled",
            "votes",
        }
        if recipe != "quick":
            left.add("image_size")
        assert {name for name in config.fields() if getattr(effective, name) is None} == left


def test_recipes_give_the_same_options():
    names = {frozenset(options) for options in config.RECIPES.values()}
    assert len(names) == 1
    assert all(config.fields()[name].default is None for name in names.pop())


def test_the_papers_recipe_is_the_papers():
    """Section IV of arXiv 2501.18538, table of hyperparameters."""
    paper = Config(recipe="paper").effective()
    assert (paper.epochs, paper.batch_size, paper.learning_rate) == (80, 16, 1e-3)
    assert (paper.schedule, paper.conv_dropout, paper.dense_dropout) == ("plateau", 0.2, 0.5)


def test_the_recipe_follows_the_data_unless_given():
    assert (
        Config().effective().recipe == "quick"
        and Config(data="fer2013.csv").effective().recipe == "best"
    )
    assert Config(recipe="paper").effective().recipe == "paper"


def test_given_values_beat_the_recipe():
    assert Config(epochs=2).effective().epochs == 2
    assert Config(epochs=2).effective().effective() == Config(epochs=2).effective()
    assert Config(patience=0, recipe="paper").effective().patience == 0


def test_every_option_has_help_and_a_known_type():
    for name, spec in config.fields().items():
        assert spec.metadata["help"].endswith(".") and config.kind(name) in (str, int, float, bool)


def test_a_byte_order_mark_is_read_over(tmp_path):
    path = tmp_path / "options.toml"
    path.write_text("temperature = 5.0\n", "utf-8-sig")  # as Windows' Notepad saves
    assert config.load(path) == {"temperature": 5.0}


def test_every_option_comes_back_from_toml(tmp_path):
    options = Config(**{name: _other(name) for name in config.fields()})
    text = config.dump(dataclasses.asdict(options), {"keras": "3.15", 'odd "name"': "a\\b"})
    assert tomllib.loads(text)["made_with"] == {"keras": "3.15", 'odd "name"': "a\\b"}
    assert Config(**config.load(_file(tmp_path, text))) == options
    default = Config().effective()
    assert (
        Config(**config.load(_file(tmp_path, config.dump(dataclasses.asdict(default), {}))))
        == default
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("temperatur = 3", "Unknown option 'temperatur' in {path}: did you mean 'temperature'?"),
        ("temp = 3", "Unknown option 'temp' in {path}: did you mean 'temperature'?"),
        ("qqq = 3", "Unknown option 'qqq' in {path}: known are data, "),
        (
            "temperature = 'warm'",
            "temperature in {path} must be a number. Received: temperature='warm'.",
        ),
        ("epochs = 2.5", "epochs in {path} must be a whole number. Received: epochs=2.5."),
        (
            "epochs = 2147483648",
            "epochs in {path} must be at most 2,147,483,647. Received: epochs=2147483648.",
        ),
        (
            "views = 100001",
            "views in {path} must be above 0 and at most 100,000. Received: views=100001.",
        ),
        ("epochs = true", "epochs in {path} must be a whole number. Received: epochs=True."),
        ("baseline = 1", "baseline in {path} must be true or false. Received: baseline=1."),
        ("student = ['B']", "student in {path} must be a text."),
        ("teacher = []", "teacher in {path} must be a text or a list of texts."),
        ("teacher = ['A', 3]", "teacher in {path} must be a text or a list of texts."),
        ("formats = ['int8', true]", "formats in {path} must be a text or a list of texts or num"),
        ("heads = []", "heads in {path} must be a text or a list of texts or numbers"),
        ("augment = ['blur']", "augment in {path} must be none, or of "),
        (
            "formats = ['a,b', 'c']",
            "formats in {path} must be a text or a list of texts or numbers",
        ),
        ("unlabeled = ['a;b', 'c']", "unlabeled in {path} must be a text or a list of texts."),
        ("temperature = 0", "temperature in {path} must be above 0. Received: temperature=0."),
        (
            "temperature = inf",
            "temperature in {path} must be a finite number. Received: temperature=inf.",
        ),
        ("alpha = nan", "alpha in {path} must be a finite number. Received: alpha=nan."),
        ("alpha = 1.5", "alpha in {path} must be between 0 and 1. Received: alpha=1.5."),
        (
            "precision = 'half'",
            "precision in {path} must be one of auto, float32, mixed_bfloat16, mixed_float16.",
        ),
        ("[table]\nalpha = 1", "Unknown option 'table' in {path}: options stand in no table; "),
        ("data = ''", "data in {path} is empty: give a value, or leave it out. Received: data=''"),
        ("teacher = ' '", "teacher in {path} is empty: give a value"),
        ("alpha = ", "{path} can't be read as TOML: "),
        ("alpha: 0.5", "{path} can't be read as TOML: "),
        ("out = 'runs'", "Unknown option 'out' in {path}: it is given on the command line, --out."),
        ("alpha = 1\nalpha = 0", "{path} can't be read as TOML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_key_and_file(text, told, tmp_path):
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert str(caught.value).startswith(told.format(path=path)) and "\n" not in str(caught.value)
    if "TOML" in told:
        assert "Write each option in a line like `epochs = 3`" in str(caught.value)


def test_files_that_are_none_are_told(tmp_path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "backslash.toml").write_text('data = "C:\\Users"')
    (tmp_path / "windows.toml").write_text("data = 'Büro'\n", encoding="cp1252")
    for path, told in (
        ("windows.toml", "not UTF-8 text from byte 10 on: save the file as UTF-8"),
        ("missing.toml", "No configuration file at"),
        ("backslash.toml", r"or a path with \\ in single ones, like `data = 'C:\\photos'`\."),
        ("binary.toml", "as TOML"),
        ("", "as TOML"),
    ):
        with pytest.raises(ConfigError, match=told):
            config.load(tmp_path / path)


@pytest.mark.parametrize(
    ("name", "below", "above"),
    [
        ("temperature", 0, None),
        ("alpha", -0.01, 1.01),
        ("beta", -0.01, None),
        ("epochs", 0, None),
        ("teacher_epochs", 0, None),
        ("batch_size", 0, None),
        ("learning_rate", 0, None),
        ("patience", -1, None),
        ("weight_decay", -1e-9, None),
        ("conv_dropout", -0.01, 1.0),
        ("dense_dropout", -0.01, 1.0),
        ("ema", -0.01, 1.0),
        ("views", 0, None),
        ("verify_soft_labels", -1, None),
        ("seed", -1, None),
    ],
)
def test_numbers_out_of_range_are_refused(name, below, above):
    for value in (below, above):
        if value is not None:
            with pytest.raises(ConfigError, match=f"^{name} must be .*Received: {name}={value}"):
                Config(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("alpha", 0), ("alpha", 1), ("beta", 0.0), ("patience", 0), ("weight_decay", 0), ("seed", 0)],
)
def test_the_ends_of_ranges_are_allowed(name, value):
    assert getattr(Config(**{name: value}), name) == value


@pytest.mark.parametrize("name", ["temperature", "data", "seed"])
def test_none_is_for_what_has_another_source(name):
    with pytest.raises(ConfigError, match=f"{name} must be a"):
        Config(**{name: None})
    assert Config(beta=None).beta is None


def test_a_flag_beats_the_file_and_the_file_the_default(tmp_path):
    path = _file(tmp_path, "temperature = 5.0\nalpha = 0.4\n[made_with]\nkeras = '3'\n")
    merged = config.merged(path, {"alpha": 0.7})
    assert (merged.temperature, merged.alpha, merged.student) == (5.0, 0.7, Config().student)
    assert config.merged(None, {}) == Config()


@pytest.mark.parametrize(
    ("typed", "baseline"), [([], True), (["--no-baseline"], False), (["--baseline"], True)]
)
def test_a_flag_takes_back_what_the_file_switches_on(typed, baseline, tmp_path):
    command = click.command(options.from_config("baseline")(lambda baseline: None))
    given = options.given(command.make_context("distill", typed).params)
    assert config.merged(_file(tmp_path, "baseline = true\n"), given).baseline is baseline


def test_several_teachers_stand_in_one_option():
    assert Config(teacher="A;b.keras").teachers == ["A", "b.keras"]
    assert Config().effective().teachers == ["vgg8-half"]
    assert Config(data="fer2013.csv").effective().teachers == ["vgg8"]


@pytest.mark.parametrize("option", ["teacher", "unlabeled", "callback"])
def test_a_name_that_the_separator_would_cut_is_refused_where_it_exists(
    option, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ("a;b.py" if option == "callback" else "a;b")
    value = file.name + ":run" * (option == "callback")
    assert getattr(Config(**{option: value}), option) == value
    file.touch()
    for text in (value, f"other;{value}", f"{value};other"):
        with pytest.raises(ConfigError, match=f"{option} names 'a;b.*would separate two values"):
            Config(**{option: text})
    with pytest.raises(ConfigError, match="names 'a;b"):
        config.merged(_file(tmp_path, f"{option} = {value!r}"), {})


@pytest.mark.parametrize(
    ("given", "held", "size"),
    [
        ("48", 48, 48),
        ("48x64", "48x64", (48, 64)),
        ("0", None, None),
        ("48x", None, None),
        ("48x0", None, None),
        ("48x64x3", None, None),
        ("-4", None, None),
        ("7071", 7071, 7071),  # 49,999,041 pixels
        ("7072", None, None),
        ("50000x1000", "50000x1000", (50000, 1000)),
        ("999999999x999999999", None, None),
        ("four", None, None),
    ],
)
def test_a_size_is_of_a_square_or_height_and_width(given, held, size, tmp_path):
    typed = options._size(given)
    if held is None:
        with pytest.raises(ConfigError, match="image_size must be a whole .* or HEIGHTxWIDTH"):
            Config(image_size=typed)
        return
    made = Config(image_size=typed)
    assert made.image_size == held and plan.resolve(made).data.image_size == size
    # As a run's own file gives it back to --resume.
    text = config.dump(dataclasses.asdict(made), {})
    assert config.merged(_file(tmp_path, text), {}) == made


def test_several_values_may_stand_in_a_list(tmp_path):
    path = _file(tmp_path, "teacher = ['a.keras', 'b.keras']\nunlabeled = 'more'")
    options = Config(**config.load(path))
    assert options.teachers == ["a.keras", "b.keras"] and options.unlabeled == "more"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("formats = ['float32', 'int8']", "float32,int8"),
        ("augment = ['crops', 'jitter']", "crops,jitter"),
        ("heads = ['expression']", "expression"),
        ("student_range = [-1, 1.0]", "-1,1.0"),
        ("teacher_mean = [0.5, 0.25, 0.125]", "0.5,0.25,0.125"),
        ("teacher_classes = ['cat', 'big dog']", "cat,big dog"),
        ("teacher_classes = ['a.keras=cat,dog', 'b.keras=1,2']", "a.keras=cat,dog;b.keras=1,2"),
        # One text is the list that it holds, as it is without brackets.
        ("teacher_range = ['0,1']", "0,1"),
        ("teacher_classes = ['cat, big dog']", "cat, big dog"),
        ("unlabeled = ['a;b']", "a;b"),
        # Names with commas, as the command line takes them.
        ("student_classes = ['a,b', 'c']", '"a,b",c'),
        ("teacher_classes = ['say \"a, b\"', '\"c\"']", '"say ""a, b""","""c"""'),
        # A student is one model.
        ("student_classes = ['x=0', 'x=1']", "x=0,x=1"),
    ],
)
def test_what_is_joined_by_commas_may_stand_in_a_list(line, text, tmp_path):
    name = line.partition(" ")[0]
    assert config.load(_file(tmp_path, line)) == {name: text}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("rot, grün ,blau", ("rot", "grün", "blau")),
        # As a folder of PlantVillage is called.
        ('"Pepper,_bell", Tomato', ("Pepper,_bell", "Tomato")),
        ('5" disk,"say ""a, b"""', ('5" disk', 'say "a, b"')),
        ("a,,b", ("a", "", "b")),
        ("a,\n  b,\r\nc\r\n", ("a", "b", "c")),
    ],
)
def test_a_name_with_a_comma_stands_in_quotes(text, names):
    assert config.listed_names(text) == names
    if "" not in names:
        stated = statements.parse(("m.keras",), {"classes": (text,)})
        assert stated.of("m.keras").class_names == names


def test_a_quotation_mark_that_is_not_closed_is_told():
    with pytest.raises(ConfigError, match=r"one with a comma in double quotes .* Received: \"a, b"):
        statements.parse(("m.keras",), {"classes": ('"a, b',)})


def test_options_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().alpha = 3


@pytest.mark.parametrize(
    "text",
    [
        "kullback",
        "decoupled(other_weight=open)",
        "decoupled(4)",
        "kl(",
        "decoupled(other_weight='4')",
    ],
)
def test_a_soft_loss_is_a_name_with_numbers(text):
    with pytest.raises(ConfigError, match="soft_loss"):
        Config(soft_loss=text)
    assert Config(soft_loss="decoupled(other_weight=4, target_weight=0.5)").soft_loss
