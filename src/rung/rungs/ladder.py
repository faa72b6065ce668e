"""Choose and fit the highest rung for which there are texts and labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rung.evidence import Evidence
from rung.rungs.linear import Linear
from rung.rungs.names import Names
from rung.rungs.pool import Pool
from rung.rungs.probe import Probe
from rung.rungs.shots import Shots

Rung = Names | Pool | Shots | Probe | Linear


def climb(
    evidence: Evidence,
    known: npt.NDArray[np.intp],
    *,
    shares: npt.NDArray[np.float64] | None = None,
    balanced: bool = False,
) -> Rung:
    """Fit the highest rung: names without texts, pool with texts, shots with labels too.

    known (n,) holds places of labels, −1 where there is none; shares (k,) holds the shares that a person gave, NaN elsewhere.
    """
    if not evidence.ok.any():
        return Names()
    pool = Pool(shares=shares, balanced=balanced)
    if (known >= 0).any():
        return Shots(below=pool).fit(evidence, known)
    return pool.fit(evidence)


def name_of(rung: Rung) -> str:
    """The name of a rung in answers.

    >>> name_of(Names())
    'names'
    """
    return "student" if isinstance(rung, Linear) else type(rung).__name__.lower()
