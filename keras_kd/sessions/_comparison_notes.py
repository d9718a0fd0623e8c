"""Notes that help to read a comparison."""

from __future__ import annotations

import math

from keras_kd.sessions.comparison import Study


def notes(study: Study) -> list[str]:
    """Return what to mind, a sentence or two each."""
    sizes = [count for row in study.rows for count in row.counts.values()]
    smallest = min((size for size in sizes if size > 1), default=0)
    found = [
        "Each participant counts once; n is their number. In brackets 95 % intervals, percentile"
        " bootstrap over " + ("pairs." if study.paired else "participants.")
    ]
    if 1 in sizes:
        found.append("One participant has no interval, and no test is possible.")
    if 0 < smallest < 10:
        found.append(
            f"With {smallest} in a group such intervals come out too narrow: take them as a hint."
        )
    if len(study.baselines) > 1:
        counts = ", ".join(f"{when} in {count}" for when, count in study.baselines.items())
        found.append(
            f"The recordings have different baselines ({counts}): negative expressions and moments"
            " are counted against each one's own."
        )
    if study.doubts:
        recording, doubt = next(iter(study.doubts.items()))
        found.append(
            f"The baseline of {len(study.doubts)} of {sum(study.baselines.values())} recordings is"
            " in doubt, and with it negative expressions and moments, as their pages tell; e.g."
            f" {recording}: {doubt}"
        )
    if len(study.groups) == 2:
        found += _of_two(study)
    else:
        found.append("Many measures are shown: one in twenty intervals misses by chance alone.")
    return found


def _of_two(study: Study) -> list[str]:
    tests = sum(not math.isnan(row.chance) for row in study.rows)
    design = (
        "Paired: the same participants used both; p by Wilcoxon's signed ranks of their"
        " differences."
        if study.paired
        else "Unpaired: different participants; p by Mann and Whitney's U."
    )
    found = [design]
    if study.same_names:
        found.append(
            "Both groups hold the same names. If these are the same people, compare them with"
            " --paired."
        )
    if tests:
        found.append(
            f"p, Holm is corrected for all {tests} tests of this table: below 0.05 is rare by"
            " chance alone."
        )
    found += [
        (
            "Hedges' g is the difference in standard deviations: 0.2 is called small, 0.5 medium,"
            " 0.8 large."
        ),
    ]
    if not math.isnan(study.smallest):
        unit = "standard deviations of the differences" if study.paired else "standard deviations"
        found.append(
            "A study of this size finds, four times out of five and with one test alone, effects"
            f" of {study.smallest:.1f} {unit} or more. What it does not find may be there all the"
            " same."
        )
    return found
