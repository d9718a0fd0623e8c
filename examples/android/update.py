"""Write the programs of `kerakd guide` for the bundle anew: python examples/android/update.py"""

from pathlib import Path

from keras_kd.exporters import _guide_code, guide

ROOT = Path(__file__).parents[2]
PACKAGE = "org.kerakd.example"
SOURCES = Path(__file__).parent / "app/src/main/kotlin" / PACKAGE.replace(".", "/")


def programs() -> dict[str, str]:
    """Return each file's text by its name."""
    found = guide.facts(ROOT / "exports" / "B")
    return {
        name: f"package {PACKAGE}\n\n{_guide_code.program(found, name)}\n"
        for name in ("Crop.kt", "Model.kt")
    }


if __name__ == "__main__":
    for name, text in programs().items():
        (SOURCES / name).write_text(text, encoding="utf-8")
