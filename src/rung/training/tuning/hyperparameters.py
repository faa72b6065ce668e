"""The hyperparameters of a tuning, checked before it starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from rung.errors import UserError

Way = Literal["probe", "contrastive", "lora", "full"]
Precision = Literal["float32", "bf16", "fp16"]
ClassWeights = Literal["none", "balanced"]

_LEARNING_RATES: dict[str, float] = {"contrastive": 5e-5, "lora": 1e-3, "full": 5e-5}
_DEFAULT_PASSES = 16  # over the labelled texts, if `steps` is None
_MIN_STEPS, _MAX_STEPS = 10, 400  # if `steps` is None


@dataclass(frozen=True)
class Hyperparameters:
    """All settings of a tuning, besides its texts.

    way            probe: a convex head on the frozen encoder; contrastive: train the encoder so that texts of one label are near
                   each other; lora: train low-rank adapters, which are merged at the end; full: train all weights with a head
    steps          updates of the weights; None: 16 passes over the labelled texts, at least 10 and at most 400 steps
    batch          texts of one forward pass; accumulate: passes whose gradients one update sums up
    learning_rate  the peak; None: 5e-5, for lora 1e-3; linear warmup over the first tenth of the steps, then decay to 0
    weight_decay   of AdamW
    dropout        inside the encoder during training; None: as in the model's config
    token_dropout  share of the words that is dropped from a text each time it is used
    rare_words     share of the words which occur in one text only that is replaced by the tokenizer's unknown token each time
    class_weights  "balanced": every label has the same weight in the loss of lora and full, however many texts it has
    precision      float32, or mixed precision with bf16 or fp16, where the machine supports it
    checkpointing  recompute activations instead of keeping them: less memory, more time
    validation     share of the labelled texts that is held out for early stopping; 0: none. Needs at least 4 texts of each label
    patience       evaluations on the validation texts without a gain before it stops; checks: evaluations in all
    """

    way: Way = "contrastive"
    steps: int | None = None
    batch: int = 16
    accumulate: int = 1
    learning_rate: float | None = None
    weight_decay: float = 0.01
    dropout: float | None = None
    token_dropout: float = 0.0
    rare_words: float = 0.0
    class_weights: ClassWeights = "none"
    precision: Precision = "float32"
    checkpointing: bool = False
    validation: float = 0.0
    patience: int = 3
    checks: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choice("way", self.way, Way)
        _check_choice("precision", self.precision, Precision)
        _check_choice("class_weights", self.class_weights, ClassWeights)
        for name in ("batch", "accumulate", "patience", "checks", "steps"):
            value = getattr(self, name)
            if value is not None and (int(value) != value or value < 1):
                raise UserError("tune: {name} is {value}.", "Give a whole number, 1 or more.", name=name, value=value)
        if self.batch < 2:
            raise UserError("tune: a batch of one text has no pairs to compare.", "Give 2 or more, such as 16.")
        for name in ("token_dropout", "rare_words", "validation", "dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(
                    "tune: {name} is {value}.", "Give a share from 0 to below 1, such as 0.1.", name=name, value=value
                )
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(
                    "tune: {name} is {value}.",
                    "Give a small number of 0 or more, such as 2e-5.",
                    name=name,
                    value=value,
                )

    @property
    def peak_learning_rate(self) -> float:
        """The peak learning rate, with the default of the way."""
        return _LEARNING_RATES[self.way] if self.learning_rate is None else self.learning_rate

    def steps_for(self, labeled: int) -> int:
        """The number of updates for so many labelled texts."""
        if self.steps is not None:
            return self.steps
        steps = -(-_DEFAULT_PASSES * labeled // (self.batch * self.accumulate))
        return min(max(steps, _MIN_STEPS), _MAX_STEPS)

    def as_dict(self) -> dict[str, Any]:
        """All hyperparameters by name."""
        return asdict(self)


def _check_choice(name: str, value: Any, choices: Any) -> None:
    if value not in get_args(choices):
        raise UserError(
            "tune: there is no {name} {value!r}.",
            "Choose one of {choices}.",
            name=name,
            value=value,
            choices=", ".join(get_args(choices)),
        )
