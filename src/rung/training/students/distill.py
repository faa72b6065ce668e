"""Distill a classifier into a fast student, which is trained on many texts with the teacher's probabilities as targets."""

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

from rung.decide.correctness import NONE_OF_THESE_INDEX
from rung.decide.rejection import Reject, label_means
from rung.errors import UserError
from rung.estimator.classifier import Classifier
from rung.estimator.persistence import check_free
from rung.evidence import Backbone, Evidence, Progress
from rung.evidence.embedding import embed
from rung.inference.inputs import as_texts
from rung.inference.label_inputs import align_to_rows, encode_labels
from rung.intervals import interval
from rung.messages import tr
from rung.rungs.linear import Linear
from rung.rungs.names import Names
from rung.training.provenance import Record, parent_of, rows_digest
from rung.training.students import student_models
from rung.training.students.student_models import Kind
from rung.training.trainer_setup import disk_errors

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Student = Literal["auto", "ngram", "static", "shallow"]

TEMPERATURES = (1.0, 2.0)  # higher ones cost the n-gram student a point or two (docs/results.md)
CE_WEIGHTS = (0.0, 0.3)
# small for "ngram", because its features are fitted to the teacher's answers already
PENALTIES: dict[Kind, float] = {"ngram": 1e-9, "static": 1e-7, "shallow": 1e-7}
AUTO_KINDS: tuple[Kind, ...] = ("ngram", "static")  # the fastest first; a shallow encoder is much slower than both
AUTO_TOLERANCE = 0.01  # "auto" gives up so much agreement for speed
HELD_OUT_SHARE, MAX_HELD_OUT = 0.1, 2000  # of the texts, for validation, and as many for the test
MIN_TEXTS = 20


@disk_errors("distill", resumes=False)
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

    clf is any classifier that gives each text one label, trees included. texts: the more there are, and the more they resemble the
    texts to be classified later, the better. y (n,) are true labels, None where there is none. student: "ngram" (words, pairs of
    words and pieces of words), "static" (token vectors), "shallow" (some of the teacher's layers; needs torch), or "auto", the
    fastest whose agreement is within one point of the best. temperature and ce_weight are T and λ of `rung.rungs.linear.Linear`.
    size is the student's: dimensions of the features of "ngram" and "static", layers of "shallow". A parameter that is None is
    chosen on validation texts. With `out` the student is saved there with its record; else its files last until this process
    ends, or until `save`.

    The student has the labels of the teacher and a similar mean confidence. It rejects as many texts as the teacher does.
    `agreement_` is how often both give the same label on test texts, which are used for neither training nor validation: by rows,
    and under `distinct` by texts that each count once.
    Raises UserError for fewer than 20 texts, several labels a text, invalid settings, and if `out` is in use.
    """
    _check(student, temperature, ce_weight, size)
    if out is not None:
        check_free(Path(out), force=False)
    answers = query_teacher(clf, texts, y, seed=seed, progress=progress)
    temperatures = TEMPERATURES if temperature is None else (float(temperature),)
    weights = (CE_WEIGHTS if (answers.known >= 0).any() else (0.0,)) if ce_weight is None else (float(ce_weight),)
    grid = [(T, weight) for weight in weights for T in temperatures]
    folder = Path(tempfile.mkdtemp(prefix="rung-student-"))
    try:
        kinds: tuple[Kind, ...] = AUTO_KINDS if student == "auto" else (student,)
        candidates, skipped = _train_kinds(kinds, answers, grid, size, folder)
        chosen = _best_candidate(candidates)
        made = _student_classifier(clf, chosen, answers)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(chosen.backbone, shutil.rmtree, folder, True)
    if out is None:
        return made
    made.save(out)
    settings = {"student": student, "temperature": temperature, "ce_weight": ce_weight, "size": size, "seed": seed}
    tried = [*(candidate.summary for candidate in candidates), *skipped]
    _record(clf, answers, made, chosen, tried, settings).write(Path(out))
    return Classifier.load(out)


@dataclass(frozen=True)
class TeacherAnswers:
    """The teacher's answers for n texts: `log_posterior` (n, k), `rejected` (n,) or None; `known` (n,) are true labels, or −1.

    train_rows, validation_rows and test_rows are indices of texts. Equal texts are in the same part.
    """

    texts: list[str]
    log_posterior: Floats
    known: Indices
    rejected: npt.NDArray[np.bool_] | None
    geometry: Backbone
    train_rows: Indices
    validation_rows: Indices
    test_rows: Indices

    def evidence(self, features: npt.NDArray[np.float32], rows: Indices) -> Evidence:
        """The evidence of the texts at `rows`: a student's features (n, d) with the teacher's answers as scores."""
        none, ok = np.zeros((0, features.shape[1]), dtype=np.float32), np.ones(len(rows), dtype=bool)
        scores = self.log_posterior[rows].astype(np.float32)
        return Evidence(features[rows], none, none, ok, (None,) * len(rows), scores=scores)


@dataclass
class Candidate:
    """A trained student: its backbone and head, the features of all texts, and its summary for the record."""

    kind: Kind
    backbone: Backbone
    head: Linear
    features: npt.NDArray[np.float32]
    summary: dict[str, Any] = field(default_factory=dict)


def query_teacher(
    clf: Classifier, texts: Any, y: Any = None, *, seed: int = 0, progress: Progress | None = None
) -> TeacherAnswers:
    """The teacher's answers for all readable texts. Raises UserError for too few texts, or a teacher that cannot be distilled."""
    if clf.multi_label:
        raise UserError(
            "distill: the teacher gives several labels a text.", "Distill a classifier that gives each text one label."
        )
    if clf.knows_numbers_only:
        raise UserError(
            "distill: the teacher was fitted on numbers, not on texts.",
            "Distill a classifier that was fitted on texts.",
        )
    rows = as_texts(texts)
    known = encode_labels(
        align_to_rows(texts, y), len(rows), clf.classes_.tolist(), minus_one_is_missing=clf.labels is not None
    )
    evidence = clf.evidence(rows, progress=progress)
    kept = np.flatnonzero(
        evidence.ok & (known != NONE_OF_THESE_INDEX)
    )  # a student learns labels, and these texts have none
    kept_texts, kept_evidence = [str(rows[i]) for i in kept], evidence.part(kept)
    parts = _split(kept_texts, seed)
    log_posterior = clf.learned.get("learned_", Names()).log_posterior(kept_evidence)
    reject = clf.learned.get("reject_")
    rejected = None if reject is None else reject.rejected(kept_evidence.features)
    return TeacherAnswers(kept_texts, log_posterior, known[kept], rejected, clf.geometry_backbone, *parts)


def _split(texts: list[str], seed: int) -> tuple[Indices, Indices, Indices]:
    """Indices of the training, validation and test texts; all copies of a text are in the same part."""
    index_of_text = {text: i for i, text in enumerate(sorted(set(texts)))}
    if len(index_of_text) < MIN_TEXTS:
        raise UserError(
            "distill: {texts} different texts that can be read are too few.",
            "Give at least {minimum}; thousands make a good student. They need no labels.",
            texts=len(index_of_text),
            minimum=MIN_TEXTS,
        )
    held_out = min(max(int(HELD_OUT_SHARE * len(index_of_text)), 1), MAX_HELD_OUT)
    order = np.random.default_rng(seed).permutation(len(index_of_text))
    part_of_text = np.zeros(len(index_of_text), dtype=np.intp)
    part_of_text[order[:held_out]], part_of_text[order[held_out : 2 * held_out]] = 1, 2
    parts = part_of_text[np.array([index_of_text[text] for text in texts], dtype=np.intp)]
    return np.flatnonzero(parts == 0), np.flatnonzero(parts == 1), np.flatnonzero(parts == 2)


def _train_kinds(
    kinds: tuple[Kind, ...], answers: TeacherAnswers, grid: list[tuple[float, float]], size: int | None, folder: Path
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Students of all kinds, and which kinds were skipped and why. A kind that was asked for alone is never skipped."""
    candidates: list[Candidate] = []
    skipped: list[dict[str, Any]] = []
    for kind in kinds:
        reason = student_models.why_not(kind, answers.geometry, len(answers.train_rows)) if len(kinds) > 1 else None
        if reason is None:
            candidates += _train_candidates(kind, answers, grid, size, folder)
        else:
            skipped.append({"student": kind, "skipped": reason})
    return candidates, skipped


def _train_candidates(
    kind: Kind, answers: TeacherAnswers, grid: list[tuple[float, float]], size: int | None, folder: Path
) -> list[Candidate]:
    """A student of one kind for each T and λ, with its agreement on the validation texts."""
    make = student_models.backbone_maker(
        kind, answers.geometry, [answers.texts[i] for i in answers.train_rows], size, folder
    )
    candidates: list[Candidate] = []
    for T, ce_weight in grid:
        loss_settings = {"temperature": T, "ce_weight": ce_weight}
        backbone = make(answers.log_posterior[answers.train_rows], answers.known[answers.train_rows], loss_settings)
        features = (
            candidates[-1].features
            if candidates and candidates[-1].backbone is backbone
            else embed(answers.texts, backbone)
        )
        head = Linear(**loss_settings, penalty=PENALTIES[kind]).fit(
            answers.evidence(features, answers.train_rows), answers.known[answers.train_rows]
        )
        head.calibrate(answers.evidence(features, answers.validation_rows))
        candidate = Candidate(kind, backbone, head, features)
        candidate.summary = {
            "student": kind,
            "size": student_models.size_of(backbone),
            **loss_settings,
            "agreement": _agreement(candidate, answers, answers.validation_rows),
        }
        candidates.append(candidate)
    return candidates


def _best_candidate(candidates: list[Candidate]) -> Candidate:
    """The best candidate of the fastest kind that is within one point of the best of all; the first if several are equal."""
    best = {
        kind: max((each for each in candidates if each.kind == kind), key=_agreement_share)
        for kind in {p.kind: 0 for p in candidates}
    }
    enough = max(map(_agreement_share, best.values())) - AUTO_TOLERANCE
    return next(candidate for candidate in best.values() if _agreement_share(candidate) >= enough)


def _agreement_share(candidate: Candidate) -> float:
    return float(candidate.summary["agreement"]["share"])


def _agreement(candidate: Candidate, answers: TeacherAnswers, rows: Indices) -> dict[str, Any]:
    """How often teacher and student give the same label: by rows, and under `distinct` by texts that each count once."""
    labels = candidate.head.log_posterior(answers.evidence(candidate.features, rows)).argmax(axis=1)
    same = labels == answers.log_posterior[rows].argmax(axis=1)
    _, first = np.unique([answers.texts[i] for i in rows], return_index=True)
    return {**_share_with_interval(same), "distinct": _share_with_interval(same[first])}


def _share_with_interval(same: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """A share, its 95 % interval, and the number of texts that it is of."""
    right, n = int(same.sum()), len(same)
    return {"share": round(right / n, 4), "interval": list(interval(right, n)), "texts": n}


def _student_classifier(clf: Classifier, chosen: Candidate, answers: TeacherAnswers) -> Classifier:
    """The student as a classifier with the decisions of the teacher: labels, tree, rejection."""
    head, rejects = chosen.head, answers.rejected is not None
    head.agreement_ = _agreement(chosen, answers, answers.test_rows)
    settings: dict[str, Any] = {
        "cache": clf.cache,
        "confidence": clf.confidence,
        "reject": clf.reject if rejects else None,
    }
    made = Classifier(clf.parsed_labels().as_list(), backbone=chosen.backbone, **settings)
    made.learned_ = head
    made.guard_ = _sentence(head.agreement_)
    if rejects:
        made.reject_ = _fit_reject(made, chosen, answers)
    return made


def _sentence(agreement: dict[str, Any]) -> str:
    """How often teacher and student agree; where texts repeat, by rows and by distinct texts."""
    both = (agreement, agreement["distinct"])
    rows, distinct = ({**each, "low": each["interval"][0], "high": each["interval"][1]} for each in both)
    if rows["texts"] == distinct["texts"]:
        return tr(
            "it gives its teacher's label to {share:.1%} [{low:.1%}, {high:.1%}] of {texts} texts that it was not trained on.",
            **rows,
        )
    return tr(
        "it gives its teacher's label to {share:.1%} [{low:.1%}, {high:.1%}] of {texts} rows that it was not trained on, and to "
        "{distinct_share:.1%} [{distinct_low:.1%}, {distinct_high:.1%}] of the {distinct_texts} distinct texts in them.",
        **rows,
        **{f"distinct_{name}": value for name, value in distinct.items()},
    )


def _fit_reject(made: Classifier, chosen: Candidate, answers: TeacherAnswers) -> Reject:
    """Rejection by the student's own features, with the threshold at which it rejects as many texts as the teacher."""
    assert answers.rejected is not None
    share = float(answers.rejected.mean())
    features, general = chosen.features, made.label_evidence().general
    posterior = np.exp(chosen.head.log_posterior(answers.evidence(features, np.arange(len(features)))))
    fitted = Reject(min(share, 0.99)).fit(features, label_means(features, posterior, general), general)
    scores = np.sort(fitted.score(features))
    out = int(answers.rejected.sum())
    fitted.threshold_ = float(scores[min(out, len(scores) - 1)]) if out else -np.inf
    return fitted


def _record(
    clf: Classifier,
    answers: TeacherAnswers,
    made: Classifier,
    chosen: Candidate,
    tried: list[dict[str, Any]],
    settings: Any,
) -> Record:
    """The record of the distillation."""
    names = clf.classes_
    labels = [None if label < 0 else names[label] for label in answers.known]
    parent = {**parent_of(clf.loaded_backbone), "rung": clf.rung_}
    results: dict[str, Any] = {"chosen": chosen.summary, "tried": tried}
    results |= {"agreement": made.agreement_, "texts_per_s": _texts_per_second(made, answers.texts)}
    if answers.rejected is not None:
        same = made.reject_.rejected(chosen.features) == answers.rejected
        results["none_of_these"] = {
            "share": round(float(answers.rejected.mean()), 4),
            "same": round(float(same.mean()), 4),
        }
    return Record(
        "distill", parent, {"texts": rows_digest(answers.texts), "labels": rows_digest(labels)}, settings, results
    )


def _texts_per_second(made: Classifier, texts: list[str]) -> int:
    """The texts that the student classifies in a second, measured on some of the texts."""
    some = (texts * (1 + 200 // len(texts)))[:5000]
    made.predict(some[:10])
    start = perf_counter()
    made.predict(some)
    return int(len(some) / (perf_counter() - start))


def _check(student: str, temperature: float | None, ce_weight: float | None, size: int | None) -> None:
    if student not in get_args(Student):
        raise UserError(
            "distill: there is no student {student!r}.",
            "Choose one of {choices}.",
            student=student,
            choices=", ".join(get_args(Student)),
        )
    if temperature is not None and not 0 < temperature < np.inf:
        raise UserError(
            "distill: temperature is {temperature}.", "Give a number above 0, such as 1 or 2.", temperature=temperature
        )
    if ce_weight is not None and not 0 <= ce_weight < np.inf:
        raise UserError(
            "distill: ce_weight is {ce_weight}.",
            "Give the weight of true labels in the loss, 0 or more, such as 0.3.",
            ce_weight=ce_weight,
        )
    if size is not None and (size != int(size) or size < 1):
        raise UserError(
            "distill: size is {size}.", "Give a whole number of dimensions or layers, 1 or more.", size=size
        )
    if size is not None and student == "auto":
        raise UserError(
            "distill: size means something else for every student.", 'Name the student too:  student="ngram"'
        )
