from __future__ import annotations

import numpy as np
import pytest

from keras_kd.config import listed_names
from keras_kd.datasets.class_names import as_typed, canonical, distinct, doubts, plain, read
from keras_kd.datasets.class_permutation import columns, in_model_order, permutation
from keras_kd.errors import ModelError
from keras_kd.evaluation.class_order import require_plausible

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anger", "angry"),
        ("Happiness", "happy"),
        ("SADNESS", "sad"),
        ("surprised", "surprise"),
        ("Fearful", "fear"),
        ("disgusted", "disgust"),
        (" neutral ", "neutral"),
        ("Contempt", "contempt"),
        ("Tabby Cat", "tabby cat"),
    ],
)
def test_canonical(name, expected):
    assert canonical(name) == expected


def test_permutation_brings_the_published_teacher_into_fer2013_order():
    teacher = ("happy", "surprise", "sad", "anger", "disgust", "fear", "neutral")
    # Worked out by hand: angry is the teacher's class 3, disgust 4, fear 5, happy 0, sad 2,
    # surprise 1, neutral 6.
    assert permutation(teacher, FER2013).tolist() == [3, 4, 5, 0, 2, 1, 6]


def test_permuted_logits_keep_their_names():
    rafdb = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    logits = np.arange(14.0).reshape(2, 7)
    permuted = logits[:, permutation(rafdb, FER2013)]
    for row in range(2):
        by_name = dict(zip(map(canonical, rafdb), logits[row], strict=True))
        assert permuted[row].tolist() == [by_name[name] for name in FER2013]


def test_different_classes_are_named_on_each_side():
    with pytest.raises(ModelError, match=r"lacks neutral, surprise and has contempt, calm besides"):
        permutation(("angry", "contempt", "calm"), ("anger", "neutral", "surprise"))


def test_a_name_that_stands_twice_is_refused():
    with pytest.raises(ModelError, match="happy stands more than once"):
        permutation(("happy", "happiness", "sad"), ("happy", "sad"))


def test_names_that_mean_the_same_elsewhere_are_told_apart_where_both_sides_do():
    np.testing.assert_array_equal(permutation(("A", "a", "b"), ("a", "b", "A")), [1, 2, 0])
    with pytest.raises(ModelError, match="a stands more than once"):
        permutation(("A", "a", "b"), ("a", "b"))


def test_classes_among_more_are_found_by_name():
    names = ("cat", "Anger", "dog", "cat", "sad")
    assert columns(names, ("sad", "angry")).tolist() == [4, 1]
    with pytest.raises(ModelError, match=r"has cat \(0\), dog, cat \(3\) besides"):
        permutation(names, ("sad", "angry"))
    with pytest.raises(ModelError, match=r"lacks cow and has cat \(0\), dog, cat \(3\) besides"):
        columns(names, ("sad", "angry", "cow"))


# As ImageNet's 1,000 names, of which two are crane and two maillot.
TWICE = ("hen", "crane", "kite", "crane", "maillot", "maillot")


def test_equal_names_fit_in_the_same_order_alone():
    assert permutation(TWICE, TWICE).tolist() == [0, 1, 2, 3, 4, 5]
    # As readers of data name them.
    assert permutation(TWICE, distinct(TWICE)).tolist() == [0, 1, 2, 3, 4, 5]
    assert columns(TWICE, ("kite", "hen")).tolist() == [2, 0]
    with pytest.raises(ModelError, match=r"lacks .*crane \(2\).* and has crane \(1\)"):
        columns(TWICE, TWICE[::-1])
    with pytest.raises(ModelError, match=r"lacks crane and has hen, crane \(1\), crane \(3\)"):
        columns(TWICE, ("kite", "crane"))


def test_equal_names_behind_a_class_for_the_background_fit():
    """As TensorFlow's models of 1,001 classes on ImageNet's 1,000."""
    names = [f"bird {number}" for number in range(1000)]
    names[134] = names[517] = "crane"
    found = columns(("background", *names), distinct(names))
    np.testing.assert_array_equal(found, np.arange(1, 1001))
    shuffled = [*names[500:], *names[:500]]
    with pytest.raises(ModelError, match=r"lacks crane \(134\), crane \(517\)"):
        columns(("background", *shuffled), distinct(names))


def test_names_in_quotation_marks_mean_those_without():
    assert columns(("“cat”", '"Dog"', "'"), ("dog", "'", "cat")).tolist() == [1, 2, 0]


def test_equal_names_have_their_number_where_names_must_differ():
    assert distinct(("hen", "crane", "kite", "crane")) == ("hen", "crane (1)", "kite", "crane (3)")


@pytest.mark.parametrize(
    "content",
    [
        "happy\nvery sad\n",
        "\ufeffhappy\r\nvery sad\r\n\r\n",
        "0 happy\n1 very sad\n",
        " happy \nvery sad",
    ],
)
def test_labels_files_of_other_programs(content, tmp_path):
    (tmp_path / "labels.txt").write_text(content, encoding="utf-8", newline="")
    assert read(tmp_path / "labels.txt") == ["happy", "very sad"]


def test_names_that_begin_with_numbers_keep_them(tmp_path):
    (tmp_path / "labels.txt").write_text("2 euros\n1 euro\n")
    assert read(tmp_path / "labels.txt") == ["2 euros", "1 euro"]
    (tmp_path / "labels.txt").write_text("0 stars\n1 star\n2 stars\n")
    assert read(tmp_path / "labels.txt") == ["0 stars", "1 star", "2 stars"]


def test_numbers_before_names_of_which_two_are_equal_go(tmp_path):
    names = [*(f"bird {letter}" for letter in "abcdefghij"), "crane", "kite", "crane"]
    lines = [f"{number} {name}" for number, name in enumerate(names)]
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    assert read(tmp_path / "labels.txt") == names


def test_decomposed_letters_are_the_composed_ones():
    assert plain(" wu\u0308tend ") == "w\u00fctend"
    assert canonical("Wu\u0308tend") == canonical("w\u00fctend")


def test_labels_by_a_models_order_keep_their_names():
    data, model = ("red", "green", "blue"), ("blue", "red", "green")  # not its own inverse
    labels = np.array([0, 1, 2, 2])
    numbers = in_model_order(labels, data, model)
    assert [model[number] for number in numbers] == [data[label] for label in labels]
    shares = in_model_order(np.eye(3)[labels], data, model)
    np.testing.assert_array_equal(shares.argmax(1), numbers)
    more = ("white", *model)
    np.testing.assert_array_equal(in_model_order(labels, data, more), numbers + 1)
    shares = in_model_order(np.eye(3)[labels], data, more)
    assert shares.shape == (4, 4)
    np.testing.assert_array_equal(shares.argmax(1), numbers + 1)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (("a", "b", "c"), "the model has c besides; use"),
        (("a",), "the model lacks b; use"),
    ],
)
def test_only_what_differs_between_two_orders_is_told(source, told):
    with pytest.raises(ModelError, match=told):
        permutation(source, ("a", "b"))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ("0.5", "1", "-2,25"),
            ["the 3 classes are numbers with fractions, each a class of its own"],
        ),
        (("-1", "0", "10"), []),
        (("0.0", "1.0", "2,00"), []),  # whole numbers as pandas writes them beside missing ones
        (("0", "1", "0,1"), ["the class 0,1 may be several labels of one image"]),
        (("1.5 kg", "2.5"), []),
    ],
)
def test_values_that_stand_as_classes_are_doubted(names, told):
    assert [line.partition(":")[0] for line in doubts(names)] == told


def test_names_in_messages_can_be_given_to_classes_as_they_stand():
    """An order of classes that was proposed had one name more for each comma in a name."""
    names = ("Pepper,_bell", "Tomato", '"q"', 'say "b"')
    assert as_typed(names) == '"Pepper,_bell", Tomato, """q""", say "b"'
    assert listed_names(as_typed(names)) == names
    refused = np.repeat(np.eye(3)[[1, 0, 2]], 10, axis=0), np.repeat([0, 1, 2], 10)
    with pytest.raises(ModelError, match='in the order b, "a, c", d on 100.0 %'):
        require_plausible(*refused, ("a, c", "b", "d"))
