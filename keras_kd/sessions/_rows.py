"""A recording's rows, one a frame and face: read, checked, and those of the participant chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from keras_kd._common.files import refuse_special
from keras_kd._common.paths import advice
from keras_kd._common.text import plain_reason
from keras_kd.errors import DataError
from keras_kd.sessions._options import LONGEST

# Columns that hold no numbers.
TEXTS = ("box", "limit", "appearance")
# By which a number may lie beyond its range.
ROUNDING = 1e-3


def read(path: str | Path) -> pd.DataFrame:
    """Read a recording: its times and numbers as float64, all else as float32, boxes as text.

    Raises:
        DataError: it is no recording, or holds no frame.
    """
    try:
        refuse_special(path)
        # pandas itself would fetch what reads like an address.
        with open(path, "rb") as file:
            rows = pd.read_csv(file, dtype=dict.fromkeys(TEXTS, str))
        if rows.empty:
            raise DataError(f"{path} holds no frame: the video is empty.")
        if missing := {"frame", "time_s", "face_id", "box", "quality", "sharpness", "turn"} - set(
            rows.columns
        ):
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        exact = ("frame", "time_s", "face_id")
        kinds = {
            name: np.float64 if name in exact else np.float32
            for name in rows.columns
            if name not in TEXTS
        }
        rows = rows.astype(kinds)
        _require_possible(rows, list(kinds))
    except FileNotFoundError as error:
        raise DataError(f"There is no recording at {path}: {advice(path)}.") from error
    except (ValueError, OverflowError, OSError) as error:
        raise DataError(
            f"{path} can't be read as a recording ({plain_reason(error)}):"
            " give what `kerakd analyze` wrote."
        ) from error
    return rows


def _require_possible(rows: pd.DataFrame, numbers: list[str]) -> None:
    """Raise ValueError where a time or number is impossible, a face stands twice in a frame, or it
    lacks its box, quality or chances.
    """
    frames, times = rows["frame"].to_numpy(), rows["time_s"].to_numpy()
    if not (np.isfinite(frames) & (np.abs(times) < LONGEST)).all():
        raise ValueError(f"a frame has no number, or no time within {LONGEST:g} s")
    order = np.argsort(frames, kind="stable")
    if (back := np.flatnonzero((np.diff(times[order]) <= 0) & (np.diff(frames[order]) > 0))).size:
        raise ValueError(
            f"its times go back at frame {frames[order[back[0] + 1]]:.0f}; `kerakd analyze` counts"
            " the times of joined recordings on, analyse the video anew"
        )
    found = rows[rows["face_id"].notna()]
    needed = [name for name in numbers if name.startswith("p_") or name == "quality"]
    if np.isinf(rows[numbers].to_numpy()).any() or found[needed].isna().to_numpy().any():
        raise ValueError("a number is infinite, or missing where there is a face")
    for name in needed:
        if (beyond := found[(found[name] < -ROUNDING) | (found[name] > 1 + ROUNDING)]).size:
            raise ValueError(
                f"{name} is {beyond[name].iloc[0]:g} at frame {beyond['frame'].iloc[0]:.0f}, and"
                " lies between 0 and 1"
            )
    if not np.isfinite(boxes(found)).all():
        raise ValueError("a box is not x, y, width and height")
    _require_each_once(rows)


def _require_each_once(rows: pd.DataFrame) -> None:
    """Raise ValueError where a frame has a face twice, or a face and none."""
    none_beside_others = rows.duplicated("frame", keep=False) & rows["face_id"].isna()
    twice = rows[rows.duplicated(["frame", "face_id"]) | none_beside_others]
    if len(twice):
        raise ValueError(
            f"frame {twice['frame'].iloc[0]:.0f} stands there twice, as where the rows of two"
            " recordings were put into one file; compare takes them as two files"
        )


def boxes(rows: pd.DataFrame) -> np.ndarray:
    """float32 (N, 4): x, y, width, height; NaN where there is none."""
    return (
        rows["box"]
        .str.split(n=3, expand=True)
        .reindex(columns=range(4))
        .to_numpy(np.float32, na_value=np.nan)
    )


def of_participant(rows: pd.DataFrame, faces: Sequence[int]) -> pd.DataFrame:
    """Leave one row a frame: that of the largest face, or of the first of those named."""
    sides = pd.Series(boxes(rows)[:, 2], rows.index).fillna(-1)
    if faces:
        named = rows["face_id"].isin(faces)
        rows = rows.copy()
        # Frames without the named faces stay, as frames without a face.
        rows.loc[~named, rows.columns.difference(["frame", "time_s"])] = np.nan
        sides = sides.where(named, -1)
    order = np.lexsort((-sides.to_numpy(), rows["frame"].to_numpy()))
    return rows.iloc[order].drop_duplicates("frame").reset_index(drop=True)
