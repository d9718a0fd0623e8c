from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_kd._common.collector import collect_rarely

# One thread a process, as two processes of tests run side by side; TensorFlow reads this once.
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
    os.environ.setdefault(name, "1")
# As `kerakd` does: a sixth of the time of the tests that train.
collect_rarely()

# Folders and files that take longest.
LONG = {"pipelines", "reliability", "exporters", "training"}
LONG |= {"test_examples", "test_own_data_page", "test_plugins"}
USAGES = ("Training", "PublicTest", "PrivateTest")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that the processes end at about the same time."""
    items.sort(key=lambda item: LONG.isdisjoint({item.path.parent.name, item.path.stem}))


def pytest_collection_finish() -> None:
    """Set aside what all imports made, and let the process that converts live as long as the
    tests, of which many need it after a while.
    """
    gc.collect()
    gc.freeze()
    if converter := sys.modules.get("keras_kd.exporters._conversion_process"):
        converter.IDLE_SECONDS = 3600


@pytest.fixture
def few_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set `faces` with a twentieth of its images: all of them are drawn in seconds."""
    few = {"train": 140, "validation": 35, "test": 70}
    monkeypatch.setattr("keras_kd.datasets.readers.faces.IMAGES", few)


@pytest.fixture(scope="session")
def real_fer2013_arrays() -> dict[str, np.ndarray]:
    """The whole FER2013: pixels (35887, 48, 48), emotion, usage and FER+ votes (35887, 10)."""
    folder = Path(os.environ.get("KERAKD_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parts = [folder / f"fer2013_part{number}.npz" for number in (1, 2)]
    if not all(part.is_file() for part in parts):
        pytest.skip(f"the real FER2013 is not in {folder} (set KERAKD_DATA)")
    loaded = [np.load(part) for part in parts]
    return {name: np.concatenate([part[name] for part in loaded]) for name in loaded[0].files}


@pytest.fixture(scope="session")
def real_fer2013(real_fer2013_arrays, tmp_path_factory):
    """A folder with the whole FER2013 as Kaggle's fer2013.csv and the FER+ votes as
    fer2013new.csv.
    """
    folder = tmp_path_factory.mktemp("fer2013")
    data = real_fer2013_arrays
    # Numbers padded to four characters are written 20 times faster than joined ones.
    digits = np.frombuffer(b"".join(b"%-4d" % value for value in range(256)), "S4")
    with (folder / "fer2013.csv").open("wb") as file:
        file.write(b"emotion,pixels,Usage\n")
        for pixels, emotion, usage in zip(
            data["pixels"], data["emotion"], data["usage"], strict=True
        ):
            file.write(b"%d,%s,%s\n" % (emotion, digits[pixels].tobytes(), USAGES[usage].encode()))
    with (folder / "fer2013new.csv").open("w") as file:
        file.write(
            "Usage,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
        )
        for votes, usage in zip(data["ferplus"], data["usage"], strict=True):
            file.write(f"{USAGES[usage]},{','.join(map(str, votes))}\n")
    yield folder
    (folder / "fer2013.csv").unlink()
