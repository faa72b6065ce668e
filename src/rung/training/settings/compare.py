"""Compare settings on labels held out: all of a grid, or those that a study tries where it looks best."""

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

from rung.errors import UserError, nearest
from rung.estimator.classifier import Classifier
from rung.messages import tr
from rung.runs.resume import of_value
from rung.training.cross_validation import LEAST
from rung.training.labeled_texts import Given, read_given
from rung.training.provenance import Record, parent_of
from rung.training.settings.comparison import Comparison, Tried, key
from rung.training.trainer_setup import begin
from rung.training.training_log import Journal
from rung.training.tuning.encoder_trainer import check_memory
from rung.training.tuning.hyperparameters import Recipe
from rung.training.tuning.tune import Work

Settings = dict[str, Any]
Progress = Callable[[int, int, float | None], object]  # settings done, settings in all, nothing

FROZEN = "frozen"  # the way that moves nothing
_HEADS = (FROZEN, "probe")  # ways to which nothing matters that a training of weights hangs on
_RECIPE = {*Recipe.__dataclass_fields__, "teach"}
_APART = 10.0  # ends of a range so many times apart are drawn between in the logarithm
_WORK = "work"


class Between(NamedTuple):
    """A range that a study draws from: whole numbers where both ends are."""

    low: float
    high: float


Space = Mapping[str, "Sequence[Any] | Between"]


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
    """Which settings answer held-out labels best; all on the same `folds` parts of the labels, each part hidden once.

    clf, texts (n) and y (n,) are as in `tune`. space names what is tried: values for any setting of `Recipe`, for `teach`, or
    for a parameter of the classifier such as `backbone`. `way` may also be "frozen", which moves no weights and is what is meant
    where nothing of a training is named. Without `trials` every combination is tried. With it so many are, each proposed by the
    TPE sampler of Optuna from what those before were worth; a value of `space` may then also be `Between(low, high)`. Before all
    others `clf` is measured as it is.

    Shares of right answers have 95 % intervals, and their differences to `clf` as it is intervals that hold for all settings
    together. The share of the best of many is too high by what made it the best: measure it again on other texts.

    With `out` the folder gets settings.jsonl (a line for each setting), comparison.csv, comparison.svg and record.json. A run that
    was stopped goes on when it is started again, and further settings for the same texts and folds are added to what is there.
    A setting that cannot be is told as its reason; raises UserError for a name that is no setting, a range without `trials`, and
    labels too few to hide some.
    """
    _check(space, clf, trials, folds)
    given = read_given(clf, texts, y, "compare")
    with TemporaryDirectory(prefix="rung-compare-") as own:
        bench = _Bench(clf, given, folds, seed, Path(own if out is None else out))
        found = bench.begun()
        total = trials or prod(len(values) for values in space.values())
        for number, asked in enumerate(_asked(space, trials, seed, found)):
            setting = plain(asked)
            if setting not in found:
                found.add(bench.tried(setting))
            if progress is not None:
                progress(number + 1, total, None)
        shutil.rmtree(bench.home / _WORK, ignore_errors=True)
        if out is not None:
            found.write(bench.home)
    return found


def plain(asked: Settings) -> Settings:
    """A setting without what does not matter to its way; of two that mean the same nothing differs then."""
    way = asked.get("way", "contrastive" if _RECIPE & asked.keys() else FROZEN)
    kept = {name: value for name, value in asked.items() if name not in _RECIPE}
    if way == "probe":
        kept["way"] = way
    elif way != FROZEN:
        kept |= {"way": way} | {name: value for name, value in asked.items() if name in _RECIPE}
    return kept


def _check(space: Space, clf: Classifier, trials: int | None, folds: int) -> None:
    """Raise UserError for what cannot be compared."""
    known = _RECIPE | (clf.get_params(deep=False).keys() - {"labels", "multi_label"})
    for name, values in space.items():
        if name not in known:
            meant = nearest(name, known)
            raise UserError(
                "compare: there is no setting {name!r}.",
                tr("Did you mean {meant}?", meant=meant)
                if meant
                else tr("The settings are {known}.", known=", ".join(sorted(known))),
                name=name,
            )
        if isinstance(values, Between):
            if trials is None or not values.low < values.high:
                raise UserError(
                    "compare: {name} from {low} to {high} is a range.",
                    "Give its lower end first, and say how many settings to try:  trials=20",
                    name=name,
                    low=values.low,
                    high=values.high,
                )
        elif isinstance(values, str) or not len(values):
            raise UserError("compare: {name} has no list of values.", "Give some:  {name}=[…, …]", name=name)
    for number, value, least in (("folds", folds, 2), ("trials", 1 if trials is None else trials, 1)):
        if value != int(value) or value < least:
            raise UserError(
                "compare: {number} {value}.",
                "Give a whole number, {least} or more.",
                number=number,
                value=value,
                least=least,
            )
    if trials is not None and find_spec("optuna") is None:
        raise UserError("compare: a study needs optuna, which is not installed.", "pip install 'rung[search]'")


@dataclass(frozen=True)
class _Bench:
    """Where settings are measured: a classifier, texts with labels, how they are parted, a folder for what was found."""

    clf: Classifier
    given: Given
    folds: int
    seed: int
    home: Path

    def begun(self) -> Comparison:
        """What was found before, with the classifier as it is as the first setting."""
        settings = {"folds": self.folds, "seed": self.seed, "labels": of_value(self.clf.parsed_labels().as_list())}
        parameters = self.clf.get_params(deep=False)
        settings |= {name: str(parameters[name]) for name in parameters if name not in ("labels", "backbone", "cache")}
        begin(self.home, Record("compare", parent_of(self.clf.loaded_backbone), self.given.inputs, settings))
        found = Comparison.read(self.home)
        if not found.rows:
            found.add(self.tried({}))
        return found

    def tried(self, setting: Settings) -> Tried:
        """What one setting is worth on every part of the labels, hidden in turn; or why it cannot be."""
        begun = time.perf_counter()
        right, told_of = [], []
        try:
            for number, (shown, asked, truth) in enumerate(self.given.in_turn(self.folds, self.seed)):
                says = self._made(setting, shown, number).predict_proba(asked)
                right.append(says.argmax(axis=1) == truth)
                told_of.append(says[np.arange(len(truth)), truth])
        except UserError as error:
            if not setting:
                raise
            return Tried(setting, error=str(error).splitlines()[0])
        if not right:
            raise UserError(
                "compare: {sum} labels are too few to hide some and still learn from the rest.",
                "Label two texts of each kind or more.",
                sum=(self.given.labels >= 0).sum(),
            )
        losses = -np.log(np.maximum(np.concatenate(told_of), LEAST))
        return Tried(setting, np.concatenate(right).tolist(), float(losses.mean()), time.perf_counter() - begun)

    def _made(self, setting: Settings, shown: Given, number: int) -> Classifier:
        """The classifier that this setting makes of the labels shown."""
        clf: Classifier = clone(self.clf).set_params(
            **{name: value for name, value in setting.items() if name not in _RECIPE}
        )
        learns = {name: value for name, value in setting.items() if name in _RECIPE}
        if not learns:
            return clf.fit(shown.texts, shown.y())
        teach = bool(learns.pop("teach", False))
        recipe = Recipe(**{"seed": self.seed} | learns)
        if recipe.way not in _HEADS:
            check_memory(clf.loaded_backbone, recipe)
        home = self.home / _WORK / of_value(key(setting))[:16]
        home.mkdir(parents=True, exist_ok=True)
        work = Work(clf, shown, recipe, teach, home, Journal(home))
        return work.tuned(shown, f"part-{number}")


def _asked(space: Space, trials: int | None, seed: int, found: Comparison) -> Iterator[Settings]:
    """The settings to try; a study looks at what was `found` of those before."""
    if trials is None:
        for values in product(*space.values()):
            yield dict(zip(space, values, strict=True))
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(trials):
        trial = study.ask()
        setting = {name: _drawn(trial, name, values) for name, values in space.items()}
        yield setting
        seen = found[plain(setting)]
        if seen.error is None:
            study.tell(trial, seen.share)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _drawn(trial: Any, name: str, values: Sequence[Any] | Between) -> Any:
    """A value for one setting, proposed by the study."""
    if not isinstance(values, Between):
        return trial.suggest_categorical(name, list(values))
    low, high = values
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high)
    return trial.suggest_float(name, low, high, log=low > 0 and high / low >= _APART)
