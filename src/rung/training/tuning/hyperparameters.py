"""How an encoder is to be tuned: every number that a training hangs on, checked before it begins."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from rung.errors import UserError

Way = Literal["probe", "contrastive", "lora", "full"]
Precision = Literal["float32", "bf16", "fp16"]
ClassWeights = Literal["none", "balanced"]

_RATES: dict[str, float] = {"contrastive": 5e-5, "lora": 1e-3, "full": 5e-5}
_PASSES = 16  # over the labelled texts, where steps are not told
_FEWEST, _MOST = 10, 400  # steps, where they are not told


@dataclass(frozen=True)
class Recipe:
    """What a training hangs on, besides its texts.

    way            probe: the encoder stays, a convex head learns; contrastive: texts of one label move together; lora: small
                   matrices beside the weights learn, and are added to them at the end; full: every weight learns
    steps          updates of the weights; None: 16 passes over the labelled texts, from 10 to 400 steps
    batch          texts a step; accumulate: steps' gradients that one update sums up
    learning_rate  None: 5e-5, lora 1e-3; it rises over the first tenth and falls to 0
    weight_decay   of the weights at each update, times the learning rate
    dropout        inside the encoder while it learns; None: as the model has it
    token_dropout  share of words that each drawing of a text leaves out
    rare_words     share of the words seen in one text only that each drawing replaces by the tokenizer's unknown token
    class_weights  "balanced": every label counts the same in the loss of lora and full, however many texts it has
    precision      float32, or bf16 or fp16 mixed with it (what the machine can)
    checkpointing  compute activations twice instead of keeping them: less memory, more time
    validation     share of the labelled texts kept apart to stop by; 0: none. Needs 4 texts of a label at least
    patience       looks at the validation texts without a gain before it stops; checks: how many looks in all
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
        _among("way", self.way, Way)
        _among("precision", self.precision, Precision)
        _among("class_weights", self.class_weights, ClassWeights)
        for name in ("batch", "accumulate", "patience", "checks", "steps"):
            value = getattr(self, name)
            if value is not None and (int(value) != value or value < 1):
                raise UserError("tune: {name} {value}.", "Give a whole number, 1 or more.", name=name, value=value)
        if self.batch < 2:
            raise UserError("tune: a batch of one text has nothing to compare.", "Give 2 or more, such as 16.")
        for name in ("token_dropout", "rare_words", "validation", "dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(
                    "tune: {name} {value}.", "Give a share from 0 to below 1, such as 0.1.", name=name, value=value
                )
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(
                    "tune: {name} {value}.", "Give a small number of 0 or more, such as 2e-5.", name=name, value=value
                )

    @property
    def rate(self) -> float:
        """The learning rate at its top."""
        return _RATES[self.way] if self.learning_rate is None else self.learning_rate

    def steps_for(self, labelled: int) -> int:
        """How many updates, for so many labelled texts."""
        if self.steps is not None:
            return self.steps
        wanted = -(-_PASSES * labelled // (self.batch * self.accumulate))
        return min(max(wanted, _FEWEST), _MOST)

    def as_dict(self) -> dict[str, Any]:
        """For a record."""
        return asdict(self)


def _among(name: str, value: Any, choices: Any) -> None:
    if value not in get_args(choices):
        raise UserError(
            "tune: there is no {name} {value!r}.",
            "Choose one of {choices}.",
            name=name,
            value=value,
            choices=", ".join(get_args(choices)),
        )
