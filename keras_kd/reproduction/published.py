"""The figures of Mini-ResEmoteNet (Murtada, Abdelrhman, Attia 2025, arXiv 2501.18538), as
printed.
"""

from __future__ import annotations

from dataclasses import dataclass

TEMPERATURE = 3.0
PARAMETERS = {"resemotenet": 80_238_599, "A": 20_069_383, "B": 5_022_215, "C": 1_259_911}


@dataclass(frozen=True)
class Row:
    """A row of Table IV.

    Attributes:
        data_set: FER2013 or RAF-DB.
        name: the row's name in the table, e.g. E1.
        student: the architecture.
        alpha: weight of the labels; None for the teacher and for a row that the paper lacks.
        accuracy: in percent as printed; None for a row that the paper lacks.
    """

    data_set: str
    name: str
    student: str
    alpha: float | None = None
    accuracy: float | None = None


TABLE_IV = (
    Row("FER2013", "teacher", "resemotenet", None, 79.79),
    Row("FER2013", "E1", "A", 0.20, 76.42),
    Row("FER2013", "E2", "A", 0.15, 76.17),
    Row("FER2013", "E3", "B", 0.20, 68.75),
    Row("FER2013", "E4", "B", 0.15, 70.20),
    Row("FER2013", "E5", "B", 0.10, 69.56),
    Row("FER2013", "E6", "C", 0.20, 58.58),
    Row("RAF-DB", "teacher", "resemotenet", None, 94.76),
    Row("RAF-DB", "E1", "A", 0.20, 85.00),
    Row("RAF-DB", "E4", "B", 0.15, 82.45),
)

# Size in MB, then memory in MB and time in ms for each data set; PyTorch on a P100 GPU.
TABLE_V = {
    "resemotenet": (306.09, {"FER2013": (10102.94, 1.4), "RAF-DB": (838.19, 3.2)}),
    "A": (76.56, {"FER2013": (5088.46, 0.14), "RAF-DB": (827.96, 0.29)}),
    "B": (19.16, {"FER2013": (1814.97, 0.15), "RAF-DB": (748.72, 0.24)}),
}

# Parameters, accuracy in percent on FER2013 and RAF-DB; None is a dash in the paper.
TABLE_VI: dict[str, tuple[int | None, float | None, float | None]] = {
    "POSTER++": (58_316_594, None, 92.21),
    "QCS": (82_874_119, None, 93.02),
    "FMAE": (304_326_632, None, 93.09),
    "Segmentation VGG-19": (169_220_807, 75.97, None),
    "EmoNeXt": (30_564_331, 76.12, None),
    "Ensemble ResMaskingNet": (21_288_263, 76.82, None),
    "C MT PSR": (None, None, 81.4),
    "C MT VGGFACE": (None, None, 84.8),
}
OWN_VI = {"A": (76.33, 85.00), "B": (70.20, 82.45)}

# What to know beside each table: where the paper contradicts itself, and what our columns are.
NOTES = {
    "II": (
        (
            "The last column counts what is left when the taps that never meet data are cut; no"
            " output changes."
        ),
        "In the paper the column of residual blocks lists the widths of their inputs.",
    ),
    "III": (
        (
            "“published” are the data sets' own counts. The paper's test columns hold the right"
            " numbers beside the wrong classes: they are permuted."
        ),
        "RAF-DB has no validation images: a tenth of its training images is held out here.",
    ),
    "IV": (
        (
            "E1 to E6 are runs with the recipe `paper`; the paper trains 80 epochs and teaches by"
            " ResEmoteNet, columns tell ours. “best” are the runs of a student, with any"
            " recipe, that the validation images chose. The epochs of a run that began from"
            " another one's student have a plus sign."
        ),
        (
            "int8, no teacher and gain are on PrivateTest (RAF-DB: test). “gain” is what the"
            " teacher adds to the same student with the same budget."
        ),
        (
            "76.42 and 76.17 are a share of neither number of images. For A on FER2013 the paper"
            " has 76.33 in its abstract, text and Table VI, 76.42 here and in Table V; for RAF-DB"
            " 84.21 (A) and 81.41 (B) in its text, 85.00 and 82.45 here."
        ),
        (
            "Its equation (6) lost its α: here the loss is α·CE + (1−α)·T²·KL, so that α"
            " weighs the true labels."
        ),
        "Several of its losses are ten times too small beside the others: they are not compared.",
        (
            "Users of the published teacher measure 71.57 for it on PrivateTest, and 58 to 66 when"
            " they train it again."
        ),
    ),
    "V": (
        (
            "Ours is for one image at a time: Keras as a compiled function on all cores, exported"
            " files on LiteRT with one thread."
        ),
        (
            "Memory is what loading and running a model adds to a process that has its runtime"
            " loaded. The weights are untrained, which changes neither size nor time."
        ),
        (
            "The paper's pairs are FER2013 / RAF-DB; it says nothing of its batch. It calls smaller"
            " memory “increased”."
        ),
        "Its sizes here are MiB (306.09), those in Table I MB (320.95), of one file.",
    ),
    "VI": (
        "Ours are the “best” runs of Table IV; FER2013 on both test sets.",
        (
            "The paper calls A the best on FER2013, while its table holds an ensemble (76.82)"
            " above it."
        ),
    ),
}


def fits(accuracy: float, n: int) -> bool:
    """Whether an accuracy, rounded to two decimals, can be a whole number of images.

    Args:
        accuracy: in percent.
        n: number of images.

    Returns:
        True if there is such a number.
    """
    nearest = round(accuracy * n / 100)
    return any(
        abs(round(100 * right / n, 2) - accuracy) < 1e-6
        for right in (nearest - 1, nearest, nearest + 1)
    )
