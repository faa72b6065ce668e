"""rung: put a pretrained language model to work on your own task without training it, and climb only when that pays."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.backbones.loading import load
    from rung.decide.answer import Answer
    from rung.errors import UserError
    from rung.estimator.classifier import Classifier
    from rung.evaluation.scorer import scorer
    from rung.training.exporting.export import export
    from rung.training.pretraining.pretrain import pretrain
    from rung.training.settings.compare import compare
    from rung.training.students.distill import distill
    from rung.training.tuning.multitask import multitask
    from rung.training.tuning.tune import tune

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Classifier",
    "UserError",
    "compare",
    "distill",
    "export",
    "load",
    "multitask",
    "pretrain",
    "scorer",
    "tune",
]

# Public names are imported when they are first used: `rung --help` must not wait for NumPy and scikit-learn.
_HOME = {
    "Answer": "rung.decide.answer",
    "Classifier": "rung.estimator.classifier",
    "UserError": "rung.errors",
    "compare": "rung.training.settings.compare",
    "distill": "rung.training.students.distill",
    "export": "rung.training.exporting.export",
    "load": "rung.backbones.loading",
    "multitask": "rung.training.tuning.multitask",
    "pretrain": "rung.training.pretraining.pretrain",
    "scorer": "rung.evaluation.scorer",
    "tune": "rung.training.tuning.tune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rung' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
