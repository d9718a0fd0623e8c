"""What a card says a model is for follows from its classes."""

from __future__ import annotations

from keras_kd import datasets
from keras_kd.reports import usage


def test_expressions_and_the_law_on_emotion_are_spoken_of_where_the_classes_are_expressions():
    faces = "\n".join(usage.use_and_limits("fer2013", ("Anger", "happy", "neutral")))
    assert "Article 5(1)(f)" in faces and "FER2013's labels" in faces
    digits = "\n".join(usage.use_and_limits("my | digits", ("0", "1", "<b>")))
    for word in ("face", "emotion", "expression", "Article", "usability"):
        assert word not in digits
    assert "0, 1" in digits and "my \\| digits" in digits and "<b>" not in digits


def test_a_folder_gives_its_data_set_its_name(tmp_path):
    (tmp_path / "fruit").mkdir()
    source = datasets.DataSet(f"folder:{tmp_path / 'fruit'}")
    assert (source.form, source.folder, source.called) == ("folder", "fruit", "fruit")
