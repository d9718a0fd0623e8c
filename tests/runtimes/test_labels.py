"""Class names in lists beside a model's file, as other programs write them."""

import io
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import called
from keras import layers
from PIL import Image

from keras_kd.errors import ModelError
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import labels, predictors, stored_spec
from keras_kd.runtimes.stated import Stated

NAMES = ("happy", "angry", "very sad")
LINES = "happy\nangry\nvery sad\n"


def _with_archive(path: Path, name: str, place: int, changed: bytes) -> Path:
    """A `.tflite` file that ends in an archive of one member, whose headers say something else."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, LINES * 20)
    spoilt = bytearray(content.getvalue())
    # The list at the end repeats the first 30 bytes, two further on.
    for start in (place, spoilt.index(b"PK\1\2") + place + 2)[: 2 if place < 30 else 1]:
        spoilt[start : start + len(changed)] = changed
    path.write_bytes(bytes(spoilt))
    return path


@pytest.mark.parametrize(
    ("place", "changed"),
    [
        pytest.param(6, b"\1", id="encrypted"),
        pytest.param(8, b"\x63", id="another packing"),
        pytest.param(4, b"\xc8", id="another version"),
        pytest.param(44, b"\xff" * 8, id="damaged"),
    ],
)
@pytest.mark.parametrize("name", ["labels.txt", "keras_kd.json"])
def test_archives_that_can_not_be_read_are_told(
    name: str, place: int, changed: bytes, tmp_path: Path
) -> None:
    path = _with_archive(tmp_path / "m.tflite", name, place, changed)
    read = stored_spec.of_model if name == "keras_kd.json" else _inside
    with pytest.raises(ModelError, match=r"m\.tflite .*export it again"):
        read(path)


def _inside(path: Path) -> ModelSpec:
    return labels.with_labels(ModelSpec(), path, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("label.txt", LINES),
        ("labelmap.txt", LINES),
        ("classes.txt", "\ufeff" + LINES.replace("\n", "\r\n") + "\r\n"),
        ("class_names.txt", "0: happy\n1: angry\n2: very sad"),
        ("classes.txt", "1 happy\n2 angry\n3 very sad\n"),
        ("class_indices.json", '{"angry": 1, "happy": 0, "very sad": 2}'),
        ("class_indices.json", '\ufeff{"0": "happy", "2": "very sad", "1": "angry"}\r\n'),
        ("labels.json", '["happy", "angry", "very sad"]'),
        ("class_names.json", '{"very sad": 3, "happy": 1, "angry": 2}'),
        ("Labels.TXT", LINES),
        ("m_labels.txt", LINES),
        ("M-Class_Names.JSON", '["happy", "angry", "very sad"]'),
    ],
)
def test_lists_of_other_programs(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert labels.with_labels(ModelSpec(), tmp_path / "m.h5", None).class_names == NAMES


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"happy": 0, "sad": 2}', "2 classes are not numbered"),
        ('{"happy": 0, "sad": 0}', "2 classes are not numbered"),
        ('{"happy": "sad"}', "happy"),
        ('{"happy": 0.5}', "list of class names"),
        ("[1, 2]", "list of class names"),
        ("{", "list of class names"),
        ('["a", ""]', "printable"),
    ],
)
def test_a_list_that_tells_no_order_is_refused(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "class_indices.json").write_text(content)
    with pytest.raises(ModelError, match=rf"class_indices\.json.*{reason}"):
        labels.with_labels(ModelSpec(), tmp_path / "m.keras", None)


def test_a_list_of_another_models_name_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "other_labels.txt").write_text(LINES)
    assert labels.with_labels(ModelSpec(), tmp_path / "m.h5", None).class_names is None


def test_a_data_sets_file_of_labels_is_passed_over_and_told(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"img1.png": 3, "img2.png": 3}')
    with pytest.warns(UserWarning, match=r"labels\.json is passed over"):
        found = labels.with_labels(ModelSpec(), tmp_path / "m.keras", None)
    assert found.class_names is None


def test_lists_that_disagree_are_both_named_unless_the_user_states_the_names(
    tmp_path: Path,
) -> None:
    (tmp_path / "labels.txt").write_text(LINES)
    (tmp_path / "class_indices.json").write_text(
        json.dumps({name: i for i, name in enumerate(NAMES)})
    )
    model = tmp_path / "m.keras"
    assert labels.with_labels(ModelSpec(), model, None).class_names == NAMES
    # Another word for a class is no contradiction.
    spoken = ModelSpec(class_names=("Happiness", "anger", "Very Sad"))
    assert labels.with_labels(spoken, model, None) == spoken
    # As data name equal classes of a list.
    numbered = ModelSpec(class_names=("crane (0)", "hen", "crane (2)"))
    (tmp_path / "cranes").mkdir()
    (tmp_path / "cranes" / "labels.txt").write_text("crane\nhen\ncrane\n")
    assert labels.with_labels(numbered, tmp_path / "cranes" / "m.keras", None) == numbered
    (tmp_path / "class_indices.json").write_text('{"angry": 0, "happy": 1, "very sad": 2}')
    with pytest.raises(
        ModelError,
        match=r"labels\.txt names happy, .*class_indices\.json names angry, happy.*wrong",
    ):
        labels.with_labels(ModelSpec(), model, None)
    assert labels.with_labels(ModelSpec(), model, ("a", "b", "c")) == ModelSpec()


def _model() -> keras.Model:
    """Knows colours: its outputs are blue, green, red."""
    image = keras.Input((8, 8, 3))
    mean = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(mean))
    model.layers[-1].set_weights([20 * np.eye(3)[::-1].copy(), np.zeros(3)])
    return model


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("forms")
    model = _model()
    paths = {end: folder / end.strip(".") / f"m{end}" for end in (".keras", ".h5", "")}
    for path in paths.values():
        path.parent.mkdir(exist_ok=True)
    model.save(paths[".keras"])
    model.save(paths[".h5"])
    paths[""] = folder / "saved" / "m"
    model.export(paths[""], verbose=False)
    return paths


def _red(folder: Path, names: tuple[str, ...]) -> Path:
    rng = np.random.default_rng(0)
    for channel, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            image = rng.integers(0, 120, (8, 8, 3), dtype=np.uint8)
            image[..., channel] += 90
            Image.fromarray(image).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("form", [".keras", ".h5", ""])
def test_flow_from_directorys_class_indices_name_any_model(
    form: str, forms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = forms[form]
    place = path if form == "" else path.parent
    data = _red(tmp_path / "d", ("zinnober", "lime", "azure"))
    (place / "class_indices.json").write_text('{"azure": 0, "lime": 1, "zinnober": 2}')
    assert predictors.load(path).spec.class_names == ("azure", "lime", "zinnober")
    assert called("evaluate", str(path), "--data", str(data), "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["test"]["accuracy"] == 1
    assert "names no classes" not in told.err
    stated = predictors.load(path, Stated(class_names=("a", "b", "c")))
    assert stated.spec.class_names == ("a", "b", "c")
