"""Distill a classifier into a fast one: a student that has read many texts with the teacher's answers beside them."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rung.decide.rejection import Reject, label_means
from rung.errors import UserError
from rung.estimator.classifier import Classifier
from rung.estimator.persistence import check_free
from rung.evidence import Backbone, Evidence, Progress
from rung.evidence.embedding import embed
from rung.inference.inputs import as_texts
from rung.inference.label_inputs import NO_LABEL, in_rows_of, known_places
from rung.intervals import interval
from rung.rungs.linear import Linear
from rung.rungs.names import Names
from rung.training.provenance import Record, of_rows, parent_of
from rung.training.students import student_models
from rung.training.students.student_models import Kind

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Student = Literal["auto", "ngram", "static", "shallow"]

TEMPERATURES = (1.0, 2.0)  # higher ones cost n-grams a point or two (docs/results.md)
CE_WEIGHTS = (0.0, 0.3)
PENALTIES: dict[Kind, float] = {
    "ngram": 1e-9,
    "static": 1e-7,
    "shallow": 1e-7,
}  # an n-gram's row holds its answer already
AUTO: tuple[Kind, ...] = ("ngram", "static")  # the fastest first; a shallow encoder is no match for either in speed
NEAR = 0.01  # of agreement: what `auto` gives for speed
APART, MOST = 0.1, 2000  # of the texts, for choosing, and as many for measuring what was chosen
LEAST = 20


def distill(
    clf: Classifier,
    texts: Any,
    y: Any = None,
    *,
    student: Student = "auto",
    out: str | Path | None = None,
    temperature: float | None = None,
    ce_weight: float | None = None,
    size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Classifier:
    """A fast classifier that answers as `clf` does: thousands of texts a second, without torch.

    clf is any classifier of one label a text, trees included; texts are the more and the more like later ones the better;
    y (n,) are true labels, None where there is none. student: "ngram" (words, pairs and pieces of words), "static" (token
    vectors), "shallow" (some of the teacher's layers; needs torch), or "auto", the fastest within a point of the best.
    temperature and ce_weight are T and λ of `rung.rungs.linear.Linear`, size is the student's (dimensions of an n-gram's or
    static row, layers of a shallow encoder). What is None is chosen on texts kept apart. With `out` the student is saved
    there with its record, else it lives as long as this process or until `save`.

    The student has the teacher's labels, is as sure as its teacher, leaves out as many texts where the teacher does, and
    knows in `agreement_` how often both say the same on texts kept apart from learning and choosing.
    Raises UserError for fewer than 20 texts, for several labels a text, for settings that cannot be, and if `out` is in use.
    """
    _check(student, temperature, ce_weight, size)
    if out is not None:
        check_free(Path(out), force=False)
    told = listen(clf, texts, y, seed=seed, progress=progress)
    temperatures = TEMPERATURES if temperature is None else (float(temperature),)
    weights = (CE_WEIGHTS if (told.known >= 0).any() else (0.0,)) if ce_weight is None else (float(ce_weight),)
    grid = [(T, weight) for weight in weights for T in temperatures]
    home = Path(tempfile.mkdtemp(prefix="rung-student-"))
    try:
        kinds: tuple[Kind, ...] = AUTO if student == "auto" else (student,)
        tried = [pupil for kind in kinds for pupil in _tried(kind, told, grid, size, home)]
        chosen = _chosen(tried)
        made = _classifier(clf, chosen, told)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    weakref.finalize(chosen.body, shutil.rmtree, home, True)
    if out is None:
        return made
    made.save(out)
    asked = {"student": student, "temperature": temperature, "ce_weight": ce_weight, "size": size, "seed": seed}
    _record(clf, told, made, chosen, tried, asked).write(Path(out))
    return Classifier.load(out)


@dataclass(frozen=True)
class Told:
    """What the teacher says of n texts: log p (n, k) in `log_posterior`, `rejected` (n,) or None; with true labels in `known`.

    fit, choose and measure are places of texts: equal texts lie in one part.
    """

    texts: list[str]
    log_posterior: Floats
    known: Indices
    rejected: npt.NDArray[np.bool_] | None
    geometry: Backbone
    fit: Indices
    choose: Indices
    measure: Indices

    def evidence(self, features: npt.NDArray[np.float32], rows: Indices) -> Evidence:
        """The teacher's answers beside a student's features (n, d), as evidence of some texts."""
        none, ok = np.zeros((0, features.shape[1]), dtype=np.float32), np.ones(len(rows), dtype=bool)
        scores = self.log_posterior[rows].astype(np.float32)
        return Evidence(features[rows], none, none, ok, (None,) * len(rows), scores=scores)


@dataclass
class Pupil:
    """A student: its backbone and head, the features of all texts, and what the record says of it."""

    kind: Kind
    body: Backbone
    head: Linear
    features: npt.NDArray[np.float32]
    line: dict[str, Any] = field(default_factory=dict)


def listen(clf: Classifier, texts: Any, y: Any = None, *, seed: int = 0, progress: Progress | None = None) -> Told:
    """Ask the teacher about every text that can be read. Raises UserError for too few, or a teacher that cannot be imitated."""
    if clf.multi_label or clf.knows_numbers_only:
        raise UserError(
            "distill: the teacher answers with several labels a text."
            if clf.multi_label
            else "distill: the teacher reads numbers, not texts.",
            "Distill a classifier of texts, of one label each.",
        )
    rows = as_texts(texts)
    known = known_places(
        in_rows_of(texts, y), len(rows), clf.classes_.tolist(), minus_one_is_none=clf.labels is not None
    )
    evidence = clf.evidence(rows, progress=progress)
    good = np.flatnonzero(evidence.ok & (known != NO_LABEL))  # a student learns labels, and these texts have none
    read, told = [str(rows[i]) for i in good], evidence.part(good)
    parts = _parts(read, seed)
    said = clf.learned.get("learned_", Names()).log_posterior(told)
    reject = clf.learned.get("reject_")
    rejected = None if reject is None else reject.rejected(told.features)
    return Told(read, said, known[good], rejected, clf.geometry_backbone, *parts)


def _parts(texts: list[str], seed: int) -> tuple[Indices, Indices, Indices]:
    """Places to learn from, to choose on and to measure on, by distinct texts."""
    place = {text: i for i, text in enumerate(sorted(set(texts)))}
    if len(place) < LEAST:
        raise UserError(
            "distill: {n_place} different texts that can be read are too few.",
            "Give at least {LEAST}; thousands make a good student. They need no labels.",
            n_place=len(place),
            LEAST=LEAST,
        )
    apart = min(max(int(APART * len(place)), 1), MOST)
    order = np.random.default_rng(seed).permutation(len(place))
    part = np.zeros(len(place), dtype=np.intp)
    part[order[:apart]], part[order[apart : 2 * apart]] = 1, 2
    of_texts = part[np.array([place[text] for text in texts], dtype=np.intp)]
    return np.flatnonzero(of_texts == 0), np.flatnonzero(of_texts == 1), np.flatnonzero(of_texts == 2)


def _tried(kind: Kind, told: Told, grid: list[tuple[float, float]], size: int | None, home: Path) -> list[Pupil]:
    """A student of one kind for each T and λ, with how often it agrees on the texts kept for choosing."""
    make = student_models.maker(kind, told.geometry, [told.texts[i] for i in told.fit], size, home)
    pupils: list[Pupil] = []
    for T, ce_weight in grid:
        how = {"temperature": T, "ce_weight": ce_weight}
        body = make(told.log_posterior[told.fit], told.known[told.fit], how)
        features = pupils[-1].features if pupils and pupils[-1].body is body else embed(told.texts, body)
        head = Linear(**how, penalty=PENALTIES[kind]).fit(told.evidence(features, told.fit), told.known[told.fit])
        head.calibrate(told.evidence(features, told.choose))
        pupil = Pupil(kind, body, head, features)
        pupil.line = {
            "student": kind,
            "size": student_models.size_of(body),
            **how,
            "agreement": _agreement(pupil, told, told.choose),
        }
        pupils.append(pupil)
    return pupils


def _chosen(pupils: list[Pupil]) -> Pupil:
    """The best of the fastest kind that is within a point of the best of all; the first of equals."""
    best = {
        kind: max((each for each in pupils if each.kind == kind), key=_share) for kind in {p.kind: 0 for p in pupils}
    }
    enough = max(map(_share, best.values())) - NEAR
    return next(pupil for pupil in best.values() if _share(pupil) >= enough)


def _share(pupil: Pupil) -> float:
    return float(pupil.line["agreement"]["share"])


def _agreement(pupil: Pupil, told: Told, rows: Indices) -> dict[str, Any]:
    """How often teacher and student give the same label, with its 95 % interval."""
    said = pupil.head.log_posterior(told.evidence(pupil.features, rows)).argmax(axis=1)
    same = int((said == told.log_posterior[rows].argmax(axis=1)).sum())
    return {"share": round(same / len(rows), 4), "interval": list(interval(same, len(rows))), "texts": len(rows)}


def _classifier(clf: Classifier, chosen: Pupil, told: Told) -> Classifier:
    """The student with everything that the teacher decides by: labels, tree, none-of-these."""
    head, rejects = chosen.head, told.rejected is not None
    head.agreement_ = _agreement(chosen, told, told.measure)
    low, high = head.agreement_["interval"]
    settings: dict[str, Any] = {
        "cache": clf.cache,
        "confidence": clf.confidence,
        "reject": clf.reject if rejects else None,
    }
    made = Classifier(clf.parsed_labels().as_list(), backbone=chosen.body, **settings)
    made.learned_ = head
    made.guard_ = (
        f"it says what its teacher says of {head.agreement_['share']:.1%} [{low:.1%}, {high:.1%}] of"
        f" {len(told.measure)} texts that it did not learn from."
    )
    if rejects:
        made.reject_ = _reject(made, chosen, told)
    return made


def _reject(made: Classifier, chosen: Pupil, told: Told) -> Reject:
    """None of these, by the student's own features, for as many of the texts as the teacher leaves out."""
    assert told.rejected is not None
    share = float(told.rejected.mean())
    features, general = chosen.features, made.meaning().general
    posterior = np.exp(chosen.head.log_posterior(told.evidence(features, np.arange(len(features)))))
    fitted = Reject(min(share, 0.99)).fit(features, label_means(features, posterior, general), general)
    scores = np.sort(fitted.score(features))
    out = int(told.rejected.sum())
    fitted.threshold_ = float(scores[min(out, len(scores) - 1)]) if out else -np.inf
    return fitted


def _record(clf: Classifier, told: Told, made: Classifier, chosen: Pupil, tried: list[Pupil], asked: Any) -> Record:
    """How the student came to be."""
    names = clf.classes_
    labels = [None if place < 0 else names[place] for place in told.known]
    parent = {**parent_of(clf.loaded_backbone), "rung": clf.rung_}
    results: dict[str, Any] = {"chosen": chosen.line, "tried": [pupil.line for pupil in tried]}
    results |= {"agreement": made.agreement_, "texts_per_s": _speed(made, told.texts)}
    if told.rejected is not None:
        same = made.reject_.rejected(chosen.features) == told.rejected
        results["none_of_these"] = {
            "share": round(float(told.rejected.mean()), 4),
            "same": round(float(same.mean()), 4),
        }
    return Record("distill", parent, {"texts": of_rows(told.texts), "labels": of_rows(labels)}, asked, results)


def _speed(made: Classifier, texts: list[str]) -> int:
    """Texts a second from text to label, on some of the texts."""
    some = (texts * (1 + 200 // len(texts)))[:5000]
    made.predict(some[:10])
    start = perf_counter()
    made.predict(some)
    return int(len(some) / (perf_counter() - start))


def _check(student: str, temperature: float | None, ce_weight: float | None, size: int | None) -> None:
    if student not in get_args(Student):
        raise UserError(
            "distill: there is no student {student!r}.",
            "Choose one of {Student}.",
            student=student,
            Student=", ".join(get_args(Student)),
        )
    if temperature is not None and not 0 < temperature < np.inf:
        raise UserError(
            "distill: temperature {temperature}.", "Give a number above 0, such as 1 or 2.", temperature=temperature
        )
    if ce_weight is not None and not 0 <= ce_weight < np.inf:
        raise UserError(
            "distill: ce_weight {ce_weight}.",
            "Give how much true labels weigh, 0 or more, such as 0.3.",
            ce_weight=ce_weight,
        )
    if size is not None and (size != int(size) or size < 1):
        raise UserError(
            "distill: size {size}.", "Give a whole number, 1 or more; docs/distill.md says of what.", size=size
        )
    if size is not None and student == "auto":
        raise UserError("distill: a size means something else for every student.", 'Name one:  student="ngram"')
