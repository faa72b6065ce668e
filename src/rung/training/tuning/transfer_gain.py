"""A task learned with others beside the same task learned alone, on the same texts: whether sharing helped, or harmed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rung.training.tuning.task_heads import Task

Floats = npt.NDArray[np.float64]

_DRAWS = 1000
_SEED = 0


def compared(task: Task, together: Floats, alone: Floats | None) -> dict[str, Any]:
    """What outputs (n, k) of both runs are worth on the task's test texts, and their difference, with 95 % intervals.

    Paired bootstrap over texts. `transfer` is "harm" or "gain" where the interval of the difference leaves out 0.
    """
    rng = np.random.default_rng(_SEED)
    draws = [rng.integers(0, len(together), len(together)) for _ in range(_DRAWS)]
    line: dict[str, Any] = {"task": task.name, "metric": task.metric}
    line |= {"texts": len(task.texts), "test_texts": len(task.test_texts)}
    of_both = [task.worth(together, rows) for rows in draws]
    line |= {"together": round(task.worth(together), 4), "together_interval": _interval(of_both)}
    if alone is None:
        return line
    of_one = [task.worth(alone, rows) for rows in draws]
    low, high = _interval([a - b for a, b in zip(of_both, of_one, strict=True)])
    line |= {"alone": round(task.worth(alone), 4), "alone_interval": _interval(of_one)}
    line |= {"gain": round(task.worth(together) - task.worth(alone), 4), "gain_interval": [low, high]}
    return line | {"transfer": "harm" if high < 0 else "gain" if low > 0 else "none seen"}


def _interval(values: list[float]) -> list[float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return [round(float(low), 4), round(float(high), 4)]
