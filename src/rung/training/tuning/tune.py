"""Tune an encoder on labelled texts, and keep the new weights only if cross-validation shows that they help."""

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
from rung.messages import tr
from rung.rungs.pool import Pool
from rung.rungs.probe import Probe
from rung.training.cross_validation import HeldOutComparison, stratified_folds
from rung.training.labeled_texts import LabeledTexts, read_labeled_texts
from rung.training.provenance import Record, parent_of
from rung.training.trainer_setup import check_precision, disk_errors
from rung.training.training_log import CURVES, LOG_FILE, TrainingLog
from rung.training.tuning.encoder_trainer import ENCODER_FOLDER, TrainingExamples, check_memory, train_encoder
from rung.training.tuning.hyperparameters import Hyperparameters, Way

Indices = npt.NDArray[np.intp]
Progress = Callable[[int, int, float | None], object]

FOLDS = 2
MIN_GUARD_LABELS = 16  # with fewer labels, cross-validation cannot tell which weights are better
KEEP_Z_SCORE = 0.5  # tuned weights are kept if their mean log-likelihood gain is at least so many standard errors
STOP_Z_SCORE = 2.0  # if the gain is below minus so many after the first fold, the second is skipped to save its time


@disk_errors("tune")
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
    """A classifier on a new encoder that was trained on labelled texts; `clf` and its backbone stay as they were.

    clf is any classifier that gives each text one label and uses a sentence encoder; the result has its labels and settings.
    texts (n) and y (n,) are as in `fit`: None where there is no label. way and **settings are those of `Hyperparameters`. With
    `teach` the encoder is also trained on the texts without label; their targets are the probabilities of `clf`, fitted on the same
    texts. With `guard` the new weights are kept only if they make held-out labels more probable than the frozen ones do (two-fold
    cross-validation). Otherwise, or with fewer than 16 labels, the result is the frozen classifier fitted on the same texts, and
    `guard_` says so. With `out` everything is saved there: classifier, encoder, record.json, log.jsonl, curves.svg. A killed run
    resumes from its last checkpoint when it is started again with the same arguments.

    Raises UserError if all labels are equal, for too few texts to split, invalid settings, a backbone that is no sentence encoder,
    too little memory, a loss of NaN, checkpoints of another training, and if `out` is in use.
    """
    hparams = Hyperparameters(way=way, **settings)
    labeled = read_labeled_texts(clf, texts, y, "tune")
    if out is not None:
        check_free(Path(out), force=False)
    if way != "probe":
        check_precision(hparams.precision, "tune")
        check_memory(clf.loaded_backbone, hparams)
    record = Record(
        "tune", parent_of(clf.loaded_backbone), labeled.inputs, {**hparams.as_dict(), "teach": teach, "guard": guard}
    )
    folder = _checkpoint_folder(None if out is None else Path(out), record)
    run = TuningRun(clf, labeled, hparams, teach, folder, TrainingLog(folder, progress))
    made, record.results = _choose_weights(run, guard)
    if out is None:
        weakref.finalize(made.loaded_backbone, shutil.rmtree, folder, True)
        return made
    made.save(out)
    record.write(Path(out))
    run.log.draw()
    for name in (LOG_FILE, CURVES):
        if (folder / name).exists():
            shutil.copyfile(folder / name, Path(out) / name)
    shutil.rmtree(folder)
    return Classifier.load(out)


@dataclass(frozen=True)
class TuningRun:
    """One tuning: the classifier, the labelled texts, the hyperparameters, the folder of the files, and the log."""

    clf: Classifier
    labeled: LabeledTexts
    hparams: Hyperparameters
    teach: bool
    folder: Path
    log: TrainingLog

    def fit_frozen(self, labeled: LabeledTexts) -> Classifier:
        """The classifier with its original encoder, fitted on these texts."""
        found: Classifier = clone(self.clf)
        found.set_label_evidence(self.clf.label_evidence())
        return found.fit(labeled.texts, labeled.y())

    def fit_tuned(self, labeled: LabeledTexts, name: str) -> Classifier:
        """A classifier with an encoder trained on these texts; the files of the training are in the folder `name`."""
        if self.hparams.way == "probe":
            return _with_probe(self.fit_frozen(labeled))
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        examples = self._training_examples(labeled)
        backbone = train_encoder(self.clf.loaded_backbone, examples, self.hparams, folder, self.log)
        cache = self.clf.cache if name == "all" else False
        classifier: Classifier = clone(self.clf).set_params(backbone=backbone, cache=cache)
        return classifier.fit(labeled.texts, labeled.y())

    def _training_examples(self, labeled: LabeledTexts) -> TrainingExamples:
        """The training data: one-hot targets of given labels, with `teach` the frozen classifier's probabilities of the rest."""
        known = np.flatnonzero(labeled.labels >= 0)
        validation, train = None, known
        if self.hparams.validation:
            train, held_out = _validation_split(labeled, known, self.hparams)
            validation = ([labeled.texts[i] for i in held_out], labeled.labels[held_out])
        targets = np.eye(len(labeled.names))[np.maximum(labeled.labels, 0)]
        rows, unlabeled = train, np.flatnonzero(labeled.labels < 0)
        if self.teach and len(unlabeled):
            targets[unlabeled] = self.fit_frozen(labeled).predict_proba([labeled.texts[i] for i in unlabeled])
            rows = np.concatenate([train, unlabeled])
        anchors = self.clf.label_evidence().anchors
        return TrainingExamples(
            [labeled.texts[i] for i in rows], targets[rows], labeled.labels[rows], anchors, validation
        )


def _choose_weights(run: TuningRun, guard: bool) -> tuple[Classifier, dict[str, Any]]:
    """The classifier with the weights that are kept, and the results for the record."""
    labeled, count = run.labeled, int((run.labeled.labels >= 0).sum())
    way = run.hparams.way
    if not count:
        reason = tr("no label is given, so nothing is tuned.")
        return _with_guard_reason(run.fit_frozen(labeled), reason), {"kept": "frozen", "labels": 0}
    if not guard:
        reason = tr("tuned ({way}) on {labels} labels, unguarded.", way=way, labels=count)
        return _with_guard_reason(run.fit_tuned(labeled, "all"), reason), {"kept": "tuned"}
    if count < MIN_GUARD_LABELS:
        reason = tr(
            "{labels} labels are too few to tell whether tuned weights are better, so they stay frozen.", labels=count
        )
        return _with_guard_reason(run.fit_frozen(labeled), reason), {"kept": "frozen", "labels": count}
    comparison = _cross_validate(run)
    figures = comparison.summary()
    results: dict[str, Any] = {"held_out": comparison.as_dict(), "labels": count}
    if comparison.z_score < KEEP_Z_SCORE:
        reason = tr("{figures}: the weights stay frozen.", figures=figures)
        return _with_guard_reason(run.fit_frozen(labeled), reason), results | {"kept": "frozen"}
    reason = tr("tuned ({way}): {figures}.", way=way, figures=figures)
    return _with_guard_reason(run.fit_tuned(labeled, "all"), reason), results | {"kept": "tuned"}


def _cross_validate(run: TuningRun) -> HeldOutComparison:
    """Compare frozen and tuned weights on held-out labels. The second fold is skipped if the first is clearly worse when tuned."""
    comparison: HeldOutComparison | None = None
    for number, (train, held_out, truth) in enumerate(run.labeled.cross_validation_splits(FOLDS, run.hparams.seed)):
        both = (run.fit_frozen(train), run.fit_tuned(train, f"part-{number}"))
        found = HeldOutComparison(truth, *(clf.predict_proba(held_out) for clf in both))
        comparison = found if comparison is None else comparison.merged_with(found)
        if comparison.z_score < -STOP_Z_SCORE:
            break
    if comparison is None:
        raise UserError(
            "tune: the labels cannot be split, because only one label has two texts.",
            "Label two texts of each label, or tune without the guard:  guard=False",
        )
    return comparison


def _validation_split(labeled: LabeledTexts, known: Indices, hparams: Hyperparameters) -> tuple[Indices, Indices]:
    """Indices of the labelled texts for training, and for early stopping. Both parts hold texts of each label."""
    count = max(2, round(1 / hparams.validation))
    fold = stratified_folds(labeled.labels[known], [labeled.texts[i] for i in known], count, hparams.seed)
    train, held_out = known[fold != 0], known[fold == 0]
    missing = np.setdiff1d(np.unique(labeled.labels[known]), np.unique(labeled.labels[train]))
    if len(missing):
        raise UserError(
            "tune: {label!r} has too few texts to hold some out for validation.",
            "Label at least two texts of each label, or leave validation out.",
            label=labeled.names[missing[0]],
        )
    return train, held_out


def _with_probe(classifier: Classifier) -> Classifier:
    """The same classifier with a convex head (`Probe`) instead of the rung shots."""
    pool = Pool(shares=classifier._shares(), balanced=classifier.balanced)
    classifier.learned_ = Probe(pool).fit(classifier._fitted_evidence, classifier._fitted_labels)
    return classifier


def _with_guard_reason(classifier: Classifier, reason: str) -> Classifier:
    classifier.guard_ = f"{reason} {classifier.guard_}"
    return classifier


def _checkpoint_folder(out: Path | None, record: Record) -> Path:
    """The folder of the checkpoints: beside `out`, so that a restart finds them. Raises UserError if it holds another training."""
    if out is None:
        return Path(tempfile.mkdtemp(prefix="rung-tune-"))
    folder = out.absolute().parent / f".{out.name}.tuning"
    if folder.is_dir() and not any(folder.rglob("trainer_state.json")) and not any(folder.glob(f"*/{ENCODER_FOLDER}")):
        shutil.rmtree(folder)  # an earlier start was refused or stopped before there was anything to resume
    if (folder / "record.json").is_file() and Record.read(folder).key != record.key:
        raise UserError(
            "tune: {folder} holds the checkpoints of another training.",
            "Name another folder, or remove it:  rm -r {folder}",
            folder=folder,
        )
    folder.mkdir(exist_ok=True)
    record.write(folder)
    return folder
