"""Compare settings by cross-validation: grid search, or a hyperparameter search with Optuna."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from rung.errors import UserError, did_you_mean
from rung.estimator.classifier import Classifier
from rung.inference.language import warn_of_language, without_language_warnings
from rung.messages import tr
from rung.runs.resume import value_hash
from rung.training.cross_validation import MIN_PROBABILITY
from rung.training.labeled_texts import LabeledTexts, read_labeled_texts
from rung.training.provenance import Record, parent_of
from rung.training.settings.comparison import Comparison, SettingResult, setting_key
from rung.training.trainer_setup import check_precision, disk_errors, prepare_folder
from rung.training.training_log import TrainingLog
from rung.training.tuning.encoder_trainer import check_memory
from rung.training.tuning.hyperparameters import Hyperparameters
from rung.training.tuning.tune import TuningRun

Settings = dict[str, Any]
Progress = Callable[[int, int, float | None], object]  # settings done, settings in all, nothing

FROZEN = "frozen"  # the way that changes no weights
_FROZEN_WAYS = (FROZEN, "probe")  # ways that leave the encoder as it is, so that the hyperparameters do not matter
_HPARAM_NAMES = {*Hyperparameters.__dataclass_fields__, "teach"}
_LOG_SCALE_RATIO = 10.0  # if high / low is at least this, values are sampled on a logarithmic scale
_WORK_FOLDER = "work"


class SearchRange(NamedTuple):
    """A range from which the search samples values: integers if both ends are integers."""

    low: float
    high: float


Space = Mapping[str, "Sequence[Any] | SearchRange"]


@disk_errors("compare")
def compare(
    clf: Classifier,
    texts: Any,
    y: Any,
    space: Space,
    *,
    trials: int | None = None,
    folds: int = 3,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Which settings label held-out texts best, by cross-validation on the same `folds` folds for all settings.

    clf, texts (n) and y (n,) are as in `tune`. space maps names to values: settings of `Hyperparameters`, `teach`, or parameters of
    the classifier such as `backbone`. `way` may also be "frozen", which changes no weights; it is the default if `space` names
    no setting of a training. Without `trials` the whole grid is evaluated. With `trials` Optuna's TPE sampler proposes that many
    settings, each from the results so far; a value of `space` may then also be `SearchRange(low, high)`. The unchanged `clf` is
    evaluated first, as the baseline.

    Accuracies have 95 % intervals. The intervals of their differences to the baseline hold for all settings simultaneously. The
    accuracy of the best of many settings is biased upwards by the selection: measure that setting again on other texts.

    With `out` the folder gets settings.jsonl (a line for each setting), comparison.csv, comparison.svg and record.json. A stopped
    run resumes when it is started again, and further settings for the same texts and folds are added to the results.
    A setting that fails has its reason in the table. Raises UserError for an unknown setting, a range without `trials`, and too
    few labels to hide some.
    """
    _check(space, clf, trials, folds)
    labeled = read_labeled_texts(clf, texts, y, "compare")
    warn_of_language(labeled.texts, clf.parsed_labels(), clf.loaded_backbone, clf.geometry_backbone)
    with TemporaryDirectory(prefix="rung-compare-") as temporary:
        evaluator = SettingsEvaluator(clf, labeled, folds, seed, Path(temporary if out is None else out))
        found = evaluator.open_comparison()
        total = trials or prod(len(values) for values in space.values())
        for number, proposed in enumerate(_proposed_settings(space, trials, seed, found)):
            setting = canonical_setting(proposed)
            if setting not in found:
                found.add(evaluator.evaluate(setting))
            if progress is not None:
                progress(number + 1, total, None)
        shutil.rmtree(evaluator.folder / _WORK_FOLDER, ignore_errors=True)
        if out is not None:
            found.write(evaluator.folder)
    return found


def canonical_setting(setting: Settings) -> Settings:
    """A setting without the values that its way ignores, so that two settings with the same meaning become equal."""
    way = setting.get("way", "contrastive" if _HPARAM_NAMES & setting.keys() else FROZEN)
    kept = {name: value for name, value in setting.items() if name not in _HPARAM_NAMES}
    if way == "probe":
        kept["way"] = way
    elif way != FROZEN:
        kept |= {"way": way} | {name: value for name, value in setting.items() if name in _HPARAM_NAMES}
    return kept


def _check(space: Space, clf: Classifier, trials: int | None, folds: int) -> None:
    """Raise UserError for an unknown setting, an empty list of values, an invalid range, folds or trials."""
    known = _HPARAM_NAMES | (clf.get_params(deep=False).keys() - {"labels", "multi_label"})
    for name, values in space.items():
        if name not in known:
            others = tr("The settings are {known}.", known=", ".join(sorted(known)))
            raise UserError("compare: there is no setting {name!r}.", did_you_mean(name, known, others), name=name)
        if isinstance(values, SearchRange):
            if trials is None or not values.low < values.high:
                raise UserError(
                    "compare: the range of {name} from {low} to {high} cannot be searched.",
                    "Give the lower end first, and say how many settings to try:  trials=20",
                    name=name,
                    low=values.low,
                    high=values.high,
                )
        elif isinstance(values, str) or not len(values):
            raise UserError("compare: {name} has no list of values.", "Give some:  {name}=[…, …]", name=name)
    precisions = space.get("precision", ())
    for precision in () if isinstance(precisions, SearchRange) else precisions:
        check_precision(str(precision), "compare")
    for name, value, minimum in (("folds", folds, 2), ("trials", 1 if trials is None else trials, 1)):
        if value != int(value) or value < minimum:
            raise UserError(
                "compare: {name} is {value}.",
                "Give a whole number, {minimum} or more.",
                name=name,
                value=value,
                minimum=minimum,
            )
    if trials is not None and find_spec("optuna") is None:
        raise UserError("compare: the search needs optuna, which is not installed.", "pip install 'rung[search]'")


@dataclass(frozen=True)
class SettingsEvaluator:
    """Evaluates settings: the classifier to start from, the labelled texts, the folds, and the folder of the results."""

    clf: Classifier
    labeled: LabeledTexts
    folds: int
    seed: int
    folder: Path

    def open_comparison(self) -> Comparison:
        """The results of an earlier run in the folder, or else the result of the baseline, the unchanged classifier."""
        settings = {"folds": self.folds, "seed": self.seed, "labels": value_hash(self.clf.parsed_labels().as_list())}
        parameters = self.clf.get_params(deep=False)
        settings |= {name: str(parameters[name]) for name in parameters if name not in ("labels", "backbone", "cache")}
        prepare_folder(
            self.folder, Record("compare", parent_of(self.clf.loaded_backbone), self.labeled.inputs, settings)
        )
        found = Comparison.read(self.folder)
        if not found.rows:
            found.add(self.evaluate({}))
        return found

    def evaluate(self, setting: Settings) -> SettingResult:
        """Cross-validate one setting. A setting that is impossible gives a result with its `error`."""
        started = time.perf_counter()
        right, probabilities = [], []
        try:
            for number, (train, held_out, truth) in enumerate(
                self.labeled.cross_validation_splits(self.folds, self.seed)
            ):
                answers = self._fit(setting, train, number).predict_proba(held_out)
                right.append(answers.argmax(axis=1) == truth)
                probabilities.append(answers[np.arange(len(truth)), truth])
        except UserError as error:
            if not setting:
                raise
            return SettingResult(setting, error=str(error).splitlines()[0])
        if not right:
            raise UserError(
                "compare: {labels} labels are too few to hide some and still learn from the rest.",
                "Label at least two texts of each label.",
                labels=(self.labeled.labels >= 0).sum(),
            )
        losses = -np.log(np.maximum(np.concatenate(probabilities), MIN_PROBABILITY))
        return SettingResult(
            setting, np.concatenate(right).tolist(), float(losses.mean()), time.perf_counter() - started
        )

    def _fit(self, setting: Settings, train: LabeledTexts, number: int) -> Classifier:
        """The classifier with this setting, fitted on the training texts of one fold."""
        clf: Classifier = clone(self.clf).set_params(
            **{name: value for name, value in setting.items() if name not in _HPARAM_NAMES}
        )
        training = {name: value for name, value in setting.items() if name in _HPARAM_NAMES}
        if not training:
            with without_language_warnings():  # `compare` warned about all texts
                return clf.fit(train.texts, train.y())
        teach = bool(training.pop("teach", False))
        hparams = Hyperparameters(**{"seed": self.seed} | training)
        if hparams.way not in _FROZEN_WAYS:
            check_memory(clf.loaded_backbone, hparams)
        folder = self.folder / _WORK_FOLDER / value_hash(setting_key(setting))[:16]
        folder.mkdir(parents=True, exist_ok=True)
        run = TuningRun(clf, train, hparams, teach, folder, TrainingLog(folder))
        return run.fit_tuned(train, f"part-{number}")


def _proposed_settings(space: Space, trials: int | None, seed: int, found: Comparison) -> Iterator[Settings]:
    """The settings to evaluate: the whole grid, or `trials` settings which Optuna proposes from the results in `found`."""
    if trials is None:
        for values in product(*space.values()):
            yield dict(zip(space, values, strict=True))
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(trials):
        trial = study.ask()
        setting = {name: _suggest_value(trial, name, values) for name, values in space.items()}
        yield setting
        result = found[canonical_setting(setting)]
        if result.error is None:
            study.tell(trial, result.share)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _suggest_value(trial: Any, name: str, values: Sequence[Any] | SearchRange) -> Any:
    """The value that Optuna proposes for one setting."""
    if not isinstance(values, SearchRange):
        return trial.suggest_categorical(name, list(values))
    low, high = values
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high)
    return trial.suggest_float(name, low, high, log=low > 0 and high / low >= _LOG_SCALE_RATIO)
