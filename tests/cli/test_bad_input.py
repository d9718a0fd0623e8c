"""What a user can mend gets one clear sentence and exit code 2, and leaves nothing half-written."""

from pathlib import Path

import numpy as np
import pytest
from command_line import called
from PIL import Image

QUICK = [
    "--student",
    "C",
    "--epochs",
    "1",
    "--batch-size",
    "4",
    "--augment",
    "none",
    "--precision",
    "float32",
]
ALONE = [*QUICK, "--alpha", "1"]
GOOD_PIXELS = " ".join(["7"] * 2304)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of noise, eight images each in train, four in validation and test."""
    root = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 4), ("test", 4)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (64, 64), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def _csv(path: Path, *rows: str, header: str = "emotion,pixels,Usage") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def _refused(capsys: pytest.CaptureFixture, out: Path, *arguments: str) -> str:
    """The one sentence with which a run is refused."""
    assert called("distill", *arguments, "--out", str(out)) == 2
    captured = capsys.readouterr()
    message = captured.err.strip().splitlines()[-1]
    assert (
        captured.out == ""
        and "Traceback" not in captured.err
        and message.startswith(("kerakd: ", "Error: "))
    )
    return message


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ([f"9,{GOOD_PIXELS},Training"], "emotion,pixels,Usage", ("row 2", "9")),
        (
            [f"3,{GOOD_PIXELS},Training", "3,1 2 3,Training"],
            "emotion,pixels,Usage",
            ("row 3", "2304"),
        ),
        ([f"3,{GOOD_PIXELS[2:]},Training"], "emotion,pixels,Usage", ("row 2", "2303")),
        ([f"3,{GOOD_PIXELS},Holidays"], "emotion,pixels,Usage", ("row 2", "Holidays")),
        (["1,2"], "a,b", ("pixels",)),
    ],
)
def test_a_bad_csv_is_named_with_its_row(
    rows: list[str],
    header: str,
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    path = _csv(tmp_path / "fer2013.csv", *rows, header=header)
    message = _refused(capsys, tmp_path / "out", "--data", str(path))
    assert all(word in message.replace("line", "row") for word in (*words, "fer2013.csv"))
    assert not (tmp_path / "out").exists()


def test_missing_data_teachers_and_configurations(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    assert "nowhere.csv" in _refused(capsys, out, "--data", "nowhere.csv")
    assert "none.keras" in _refused(
        capsys, out, "--data", str(folder), *QUICK, "--teacher", "none.keras"
    )
    message = _refused(
        capsys, out, "--data", str(folder), *QUICK, "--teacher", "A-0123456789abcdef"
    )
    assert "A-0123456789abcdef" in message and "kerakd teach" in message
    assert "none.toml" in _refused(capsys, out, "--config", "none.toml")
    (tmp_path / "bad.toml").write_text("temprature = 3\n")
    message = _refused(capsys, out, "--config", str(tmp_path / "bad.toml"))
    assert "temprature" in message and "temperature" in message and "bad.toml" in message
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--temp", "0", "above 0"),
        ("--temp", "-3", "above 0"),
        ("--alpha", "1.5", "between 0 and 1"),
        ("--beta", "-1", "0 or more"),
        ("--student", "D", "A, B, C"),
        ("--precision", "float8", "mixed_bfloat16"),
        ("--formats", "gif", "int8"),
        ("--epochs", "0", "above 0"),
        ("--teacher-input", "64", "3 numbers"),
        ("--teacher-input", "64x64x0", "3 numbers separated by 'x', whole and above 0"),
        ("--formats", "int8, int8", "int8 twice"),
        ("--formats", ",", "names joined by commas, and one is empty"),
    ],
)
def test_values_out_of_range(
    option: str,
    value: str,
    allowed: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    message = _refused(
        capsys, tmp_path / "out", "--data", str(folder), "--teacher", __file__, option, value
    )
    assert allowed in message
    assert not (tmp_path / "out").exists()


def test_broken_and_empty_images(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name, content in (("cut.png", b"\x89PNG\r\n\x1a\n0000"), ("empty.png", b"")):
        path = folder / "train" / "cat" / name
        path.write_bytes(content)
        assert name in _refused(capsys, tmp_path / "out", "--data", str(folder))
        path.unlink()
    (folder / "train" / "owl").mkdir()
    assert "owl" in _refused(capsys, tmp_path / "out", "--data", str(folder))
    (folder / "train" / "owl").rmdir()


def test_a_teacher_with_other_classes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import keras

    from keras_kd import models
    from keras_kd.models import keras_file

    teacher = tmp_path / "teacher.keras"
    keras_file.save(
        models.build("C", 2, (64, 64, 1)),
        teacher,
        keras_file.ModelSpec(("cat", "horse"), input_shape=(64, 64, 1)),
    )
    message = _refused(
        capsys, tmp_path / "out", "--data", str(folder), *QUICK, "--teacher", str(teacher)
    )
    assert "horse" in message and "dog" in message
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]).save(
        teacher
    )
    message = _refused(
        capsys, tmp_path / "out", "--data", str(folder), *QUICK, "--teacher", str(teacher)
    )
    assert "3" in message and "2" in message
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_not_a_number(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    message = _refused(
        capsys, tmp_path / "out", "--data", str(folder), *ALONE, "--learning-rate", "1e30"
    )
    assert "nan" in message.lower() and "--learning-rate" in message
