"""Confidence intervals of an accuracy, and of the difference of two accuracies."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from rung.errors import UserError


def interval(correct: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """The interval in which the true accuracy lies, given `correct` right answers out of `total`.

    Wilson score interval; both ends in [0, 1], to three digits. Source: Wilson 1927, as in Brown, Cai, DasGupta 2001, eq. 4.
    Raises UserError if `total` is 0: no interval can be given without a single labelled text.

    >>> interval(18, 20)
    (0.699, 0.972)
    """
    if not 0 <= correct <= total or total == 0:
        raise UserError(
            "interval: {correct} right answers out of {total}.",
            "Give 0 ≤ correct ≤ total, and total > 0.",
            correct=correct,
            total=total,
        )
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (correct + z * z / 2) / (total + z * z)
    half = z / (total + z * z) * sqrt(correct * (total - correct) / total + z * z / 4)
    return round(max(0.0, middle - half), 3), round(min(1.0, middle + half), 3)


def paired_interval(won: int, lost: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """The interval of the true difference of two accuracies.

    Of `total` texts, only the first way is right on `won`, and only the second on `lost`.

    Adjusted Wald interval for matched pairs; both ends in [-1, 1], to three digits. Source: Agresti, Min 2005, "Simple improved
    confidence intervals for comparing matched proportions", with half a text added to each of the four counts.

    >>> paired_interval(12, 4, 100)
    (0.001, 0.156)
    """
    if min(won, lost) < 0 or won + lost > total or total == 0:
        raise UserError(
            "paired_interval: {won} won and {lost} lost out of {total}.",
            "Give 0 ≤ won + lost ≤ total, and total > 0.",
            won=won,
            lost=lost,
            total=total,
        )
    z = NormalDist().inv_cdf((1 + level) / 2)
    n, gain, differ = total + 2, won - lost, won + lost + 1
    half = z * sqrt(differ - gain * gain / n) / n
    return round(max(-1.0, gain / n - half), 3), round(min(1.0, gain / n + half), 3)
