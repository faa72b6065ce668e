"""Transfer between tasks: compare a multi-task run with a single-task run on the same test texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rung.training.tuning.task_heads import Task

Floats = npt.NDArray[np.float64]

_DRAWS = 1000
_SEED = 0


def compare_runs(task: Task, together: Floats, alone: Floats | None) -> dict[str, Any]:
    """Score the outputs (n, k) of both runs on the task's test texts, and their difference, with 95 % intervals.

    Paired bootstrap over texts. `transfer` is "harm" or "gain" if the interval of the difference excludes 0, else "none seen".
    """
    rng = np.random.default_rng(_SEED)
    draws = [rng.integers(0, len(together), len(together)) for _ in range(_DRAWS)]
    line: dict[str, Any] = {"task": task.name, "metric": task.metric}
    line |= {"texts": len(task.texts), "test_texts": len(task.test_texts)}
    together_scores = [task.score(together, rows) for rows in draws]
    line |= {"together": round(task.score(together), 4), "together_interval": _interval(together_scores)}
    if alone is None:
        return line
    alone_scores = [task.score(alone, rows) for rows in draws]
    low, high = _interval([a - b for a, b in zip(together_scores, alone_scores, strict=True)])
    line |= {"alone": round(task.score(alone), 4), "alone_interval": _interval(alone_scores)}
    line |= {"gain": round(task.score(together) - task.score(alone), 4), "gain_interval": [low, high]}
    return line | {"transfer": "harm" if high < 0 else "gain" if low > 0 else "none seen"}


def _interval(values: list[float]) -> list[float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return [round(float(low), 4), round(float(high), 4)]
