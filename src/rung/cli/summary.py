"""What a run says at its end: what was done, on which rung, how sure, and what would help most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.cli.display import bar, columns, counted

if TYPE_CHECKING:
    from rung.decide.answer import Answer
    from rung.estimator.classifier import Classifier

_SHOWN = 20  # labels with a line of their own
_SAMPLE = 500  # texts kept to tell the language


@dataclass
class Tally:
    """What the closing summary needs to know, counted chunk by chunk."""

    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    answered: int = 0  # rows that got a label
    probability: float = 0.0
    errors: int = 0
    cut: int = 0
    sample: list[str] = field(default_factory=list)

    def add(self, texts: Sequence[str | None], answers: Sequence[Answer], classifier: Classifier) -> None:
        """Count one chunk."""
        self.rows += len(texts)
        for answer in answers:
            self.labels.update(
                answer.label if isinstance(answer.label, tuple) else [answer.label] if answer.label else []
            )
        answered = [answer for answer in answers if answer.label]
        self.answered += len(answered)
        self.probability += sum(answer.probability or 0.0 for answer in answered)
        readable = [str(text) for text, answer in zip(texts, answers, strict=True) if answer.error is None]
        self.errors += len(texts) - len(readable)
        self.sample += readable[: max(0, _SAMPLE - len(self.sample))]
        if classifier.long == "cut":
            self.cut += classifier.loaded_backbone.cut(readable)


def closing_lines(
    tally: Tally, classifier: Classifier, *, seconds: float, places: Sequence[str], saved: Path | None, here: bool
) -> list[str]:
    """The closing lines; `places` are what was written, `saved` the classifier's folder, `here` whether this run fitted it."""
    loaded = classifier.loaded_backbone
    chosen = "auto: the best installed, " if classifier.backbone == "auto" else ""
    backbone = f"{loaded.name} ({chosen}{loaded.numerics})"
    return [
        "",
        f"{counted(tally.rows, 'row')} in {seconds:.1f} s · rung {classifier.rung_} · backbone {backbone}",
        *_stand(classifier, here=here),
        *_spent(loaded),
        *_shares(tally),
        *_remarks(tally, classifier),
        "written to " + " and ".join(places),
        "next: " + _next(classifier, saved),
    ]


def _stand(classifier: Classifier, *, here: bool) -> list[str]:
    """What was learned from texts, these or others, and whether it was kept."""
    guard = getattr(classifier, "guard_", None)
    return [] if guard is None else [f"fitted on the texts of {'this file' if here else 'another'}; {guard}"]


def _spent(backbone: Any) -> list[str]:
    """What was asked of a server."""
    return [f"asked of the server: {backbone.spent()}"] if hasattr(backbone, "spent") else []


def _shares(tally: Tally) -> list[str]:
    """A line a label, the most frequent first, and how sure the answers are on average."""
    if not tally.answered:
        return []
    most = tally.labels.most_common(_SHOWN)
    rows = [(name, f"{n:,}", f"{n / tally.answered:.1%}", bar(n / most[0][1])) for name, n in most]
    more = len(tally.labels) - len(most)
    return [
        *columns(rows),
        *([f"  … and {counted(more, 'more label')}"] if more else []),
        f"mean probability {tally.probability / tally.answered:.2f}: what rung expects of itself, not a measured accuracy",
    ]


def _remarks(tally: Tally, classifier: Classifier) -> list[str]:
    """What a person should know before trusting the answers."""
    from rung.inference.language import warning

    absent = len(set(classifier.classes_.tolist()) - set(tally.labels))
    none = tally.rows - tally.errors - tally.answered
    limit = classifier.loaded_backbone.max_tokens
    alarm = warning(tally.sample, classifier.loaded_backbone)
    said = {
        f"{counted(tally.errors, 'row')} without a label: the column error says why": tally.errors > 0,
        f"{counted(tally.cut, 'text')} cut at the model's {limit} tokens: --long mean reads all of them": tally.cut > 0,
        f"{counted(none, 'text')} given no label: none of them fits well enough": none > 0,
        f"{absent} of {counted(len(classifier.classes_), 'label')} given to no text": absent > 0
        and tally.answered > 0
        and not classifier.parsed_labels().is_tree,
        f"warning: {alarm}": alarm is not None,
    }
    return [line for line, holds in said.items() if holds]


def _next(classifier: Classifier, saved: Path | None) -> str:
    """The one thing that would help most."""
    if any(not label.description for label in classifier.parsed_labels()):
        return "describe the labels, which often helps:  name: a few words about it,  one a line in a file for --labels"
    if classifier.rung_ == "pool" and not classifier.multi_label and saved is None:
        return "rung suggest  names the texts whose labels would help most; hand them back with  --known FILE"
    if classifier.loaded_backbone.name == "builtin":
        return "pip install 'rung[torch]'  for the backbone minilm: slower, and better where labels are many"
    if saved is None:
        return "--save FOLDER  keeps this classifier for other files"
    return f"rung classify OTHER.csv --classifier {saved}"
