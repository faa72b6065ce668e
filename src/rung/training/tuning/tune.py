"""Tune an encoder to labelled texts: the last rung but one, climbed only where held-out labels say that it pays."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from rung.errors import UserError
from rung.estimator.classifier import Classifier
from rung.estimator.persistence import check_free
from rung.rungs.pool import Pool
from rung.rungs.probe import Probe
from rung.training.cross_validation import Judged, parts
from rung.training.labeled_texts import Given, read_given
from rung.training.provenance import Record, parent_of
from rung.training.training_log import CURVES, FILE, Journal
from rung.training.tuning.encoder_trainer import Lessons, check_memory, learn
from rung.training.tuning.hyperparameters import Recipe, Way

Indices = npt.NDArray[np.intp]
Progress = Callable[[int, int, float | None], object]

PARTS = 2  # each half judges what was learned from the other
LEAST_TO_TELL = 16  # labelled texts: with fewer no half can say which of two ways is better
SURE = 0.5  # standard errors by which the tuned weights must make held-out labels more probable
BEHIND = 2.0  # and by which they may be behind on the first half: then the second one would only cost its time


def tune(
    clf: Classifier,
    texts: Any,
    y: Any,
    *,
    way: Way = "contrastive",
    out: str | Path | None = None,
    teach: bool = False,
    guard: bool = True,
    progress: Progress | None = None,
    **settings: Any,
) -> Classifier:
    """A classifier on a new encoder that learned from labelled texts; `clf` and its backbone stay as they were.

    clf is any classifier of one label a text on a sentence encoder; its labels and settings are taken over. texts (n) and y (n,)
    as in `fit`: None where there is no label. way and **settings are those of `Recipe`. With `teach` the texts without label
    are learned from too, by what `clf`, fitted on the same texts, says of them. With `guard` the new weights are kept only if
    they make labels held out more probable than the frozen ones do (two halves, each judging the other); otherwise, or with
    fewer than 16 labels, the answer is the frozen classifier fitted on the same texts, and `guard_` says so.
    With `out` everything is saved there: classifier, encoder, record.json, log.jsonl, curves.svg; a run that was killed goes on
    at its last checkpoint when it is started again in the same way.

    Raises UserError for labels of one kind only, texts too few to split, settings that cannot be, a backbone that is no sentence
    encoder, too little memory, a loss that is no number, checkpoints of another training, and if `out` is in use.
    """
    recipe = Recipe(way=way, **settings)
    given = read_given(clf, texts, y, "tune")
    if out is not None:
        check_free(Path(out), force=False)
    if way != "probe":
        check_memory(clf.loaded_backbone, recipe)
    record = Record(
        "tune", parent_of(clf.loaded_backbone), given.inputs, {**recipe.as_dict(), "teach": teach, "guard": guard}
    )
    home = _home(None if out is None else Path(out), record)
    work = Work(clf, given, recipe, teach, home, Journal(home, progress))
    made, record.results = _decided(work, guard)
    if out is None:
        weakref.finalize(made.loaded_backbone, shutil.rmtree, home, True)
        return made
    made.save(out)
    record.write(Path(out))
    work.journal.draw()
    for name in (FILE, CURVES):
        if (home / name).exists():
            shutil.copyfile(home / name, Path(out) / name)
    shutil.rmtree(home)
    return Classifier.load(out)


@dataclass(frozen=True)
class Work:
    """One tuning: who, from what, how, and where its files lie."""

    clf: Classifier
    given: Given
    recipe: Recipe
    teach: bool
    home: Path
    journal: Journal

    def frozen(self, given: Given) -> Classifier:
        """The classifier as it was, fitted on these texts."""
        found: Classifier = clone(self.clf)
        found.keep_meaning(self.clf.meaning())
        return found.fit(given.texts, given.y())

    def tuned(self, given: Given, name: str) -> Classifier:
        """A classifier that learned from these texts; its files lie in the folder `name`."""
        if self.recipe.way == "probe":
            return _probed(self.frozen(given))
        folder = self.home / name
        folder.mkdir(exist_ok=True)
        body = learn(self.clf.loaded_backbone, self._lessons(given), self.recipe, folder, self.journal)
        own: Classifier = clone(self.clf).set_params(backbone=body, cache=self.clf.cache if name == "all" else False)
        return own.fit(given.texts, given.y())

    def _lessons(self, given: Given) -> Lessons:
        """What an encoder learns from: labels as they are, and where asked for what the frozen classifier says of the rest."""
        known = np.flatnonzero(given.labels >= 0)
        validation, fit = None, known
        if self.recipe.validation:
            fit, apart = _apart(given, known, self.recipe)
            validation = ([given.texts[i] for i in apart], given.labels[apart])
        targets = np.eye(len(given.names))[np.maximum(given.labels, 0)]
        rows, taught = fit, np.flatnonzero(given.labels < 0)
        if self.teach and len(taught):
            targets[taught] = self.frozen(given).predict_proba([given.texts[i] for i in taught])
            rows = np.concatenate([fit, taught])
        anchors = self.clf.meaning().anchors
        return Lessons([given.texts[i] for i in rows], targets[rows], given.labels[rows], anchors, validation)


def _decided(work: Work, guard: bool) -> tuple[Classifier, dict[str, Any]]:
    """The classifier that is kept, with what was seen on the way."""
    given, count = work.given, int((work.given.labels >= 0).sum())
    if not count:
        return _told(work.frozen(given), "no label is given, so nothing is tuned."), {"kept": "frozen", "labels": 0}
    way = f"tuned ({work.recipe.way})"
    if not guard:
        return _told(work.tuned(given, "all"), f"{way} on {count} labels, unguarded."), {"kept": "tuned"}
    if count < LEAST_TO_TELL:
        why = f"{count} labels are too few to tell whether tuned weights are better, so they stay frozen."
        return _told(work.frozen(given), why), {"kept": "frozen", "labels": count}
    judged = _judge(work)
    seen = judged.in_words()
    results: dict[str, Any] = {"held_out": judged.as_dict(), "labels": count}
    if judged.surely < SURE:
        return _told(work.frozen(given), f"{seen}: the weights stay frozen."), results | {"kept": "frozen"}
    return _told(work.tuned(given, "all"), f"{way}: {seen}."), results | {"kept": "tuned"}


def _judge(work: Work) -> Judged:
    """Both ways on labels that neither saw: each half of them is hidden once, the second if the first leaves a doubt."""
    judged: Judged | None = None
    for number, (shown, asked, truth) in enumerate(work.given.in_turn(PARTS, work.recipe.seed)):
        ways = (work.frozen(shown), work.tuned(shown, f"part-{number}"))
        found = Judged(truth, *(clf.predict_proba(asked) for clf in ways))
        judged = found if judged is None else judged.with_more(found)
        if judged.surely < -BEHIND:
            break
    if judged is None:
        raise UserError(
            "tune: the labels cannot be split, since but one kind has two texts.",
            "Label two texts of each kind, or go without:  guard=False",
        )
    return judged


def _apart(given: Given, known: Indices, recipe: Recipe) -> tuple[Indices, Indices]:
    """Labelled texts to learn from, and those to stop by; a label's texts are in both."""
    count = max(2, round(1 / recipe.validation))
    part = parts(given.labels[known], [given.texts[i] for i in known], count, recipe.seed)
    fit, apart = known[part != 0], known[part == 0]
    lacking = np.setdiff1d(np.unique(given.labels[known]), np.unique(given.labels[fit]))
    if len(lacking):
        raise UserError(
            "tune: {names!r} has too few texts to keep some apart for validation.",
            "Label two of each kind at least, or leave validation out.",
            names=given.names[lacking[0]],
        )
    return fit, apart


def _probed(frozen: Classifier) -> Classifier:
    """The same with a convex head instead of the rung shots."""
    pool = Pool(shares=frozen._shares(), balanced=frozen.balanced)
    frozen.learned_ = Probe(pool).fit(frozen._fitted_on, frozen._known)
    return frozen


def _told(made: Classifier, how: str) -> Classifier:
    made.guard_ = f"{how} {made.guard_}"
    return made


def _home(out: Path | None, record: Record) -> Path:
    """The folder of checkpoints: beside `out`, so that a second start finds them. Raises UserError if they are of other work."""
    if out is None:
        return Path(tempfile.mkdtemp(prefix="rung-tune-"))
    home = out.absolute().parent / f".{out.name}.tuning"
    if (home / "record.json").is_file() and Record.read(home).key != record.key:
        raise UserError(
            "tune: {home} holds the checkpoints of another training.",
            "Name another folder, or remove it:  rm -r {home}",
            home=home,
        )
    home.mkdir(exist_ok=True)
    record.write(home)
    return home
