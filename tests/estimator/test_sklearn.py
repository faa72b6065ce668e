"""The estimator's contract with scikit-learn, checked by scikit-learn itself."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from rung import Classifier

TEXTS = [f"{word} {i}" for i in range(10) for word in ("invoice payment", "crash error", "thanks great")]
TRUTH = ["billing", "bug", "praise"] * 10


@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks warn on purpose
def test_the_whole_of_check_estimator_runs_and_passes() -> None:
    """Every check of scikit-learn runs on embeddings (a 2-D array), none is skipped for the kind of input, none fails."""
    done = check_estimator(Classifier(), on_fail=None)
    assert len(done) > 40
    assert {each["check_name"]: str(each["exception"]) for each in done if each["status"] == "failed"} == {}
    assert {each["check_name"] for each in done if each["status"] == "skipped"} <= {"check_array_api_input"}


def test_it_is_cloned_with_its_parameters() -> None:
    """clone keeps every parameter and nothing that was learned."""
    clf = Classifier(["a", "b"], backbone="builtin", shares={"a": 0.2}, reject=0.1, multi_label=False, confidence=0.7)
    assert clone(clf.fit(["one", "two"])).get_params() == clf.get_params()
    assert not hasattr(clone(clf), "learned_")


def test_it_works_in_pipelines_and_searches() -> None:
    """Pipeline, GridSearchCV over label sets and cross_val_score take it as any classifier."""
    labels: list[Any] = [{"billing": "payment", "bug": "crash", "praise": "thanks"}, ["billing", "bug", "praise"]]
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    steps = Pipeline([("lower", lower), ("clf", Classifier(labels[0], backbone="builtin"))])
    assert steps.fit(TEXTS, TRUTH).score(TEXTS, TRUTH) == 1
    scores = cross_val_score(Classifier(labels[0], backbone="builtin"), TEXTS, TRUTH, cv=3)
    assert scores.min() > 0.9
    search = GridSearchCV(Classifier(backbone="builtin"), {"labels": labels}, cv=2).fit(TEXTS, TRUTH)
    assert search.best_score_ > 0.9


def test_names_are_taken_from_y_where_none_are_given() -> None:
    """Classifier().fit(texts, y) uses the labels in y, their names included."""
    clf = Classifier(backbone="builtin").fit(TEXTS, [*TRUTH[:6], *[None] * 24])
    assert clf.classes_.tolist() == ["billing", "bug", "praise"]
    assert clf.rung_ == "shots"
    assert (clf.predict(TEXTS) == TRUTH).mean() > 0.9


def test_a_matrix_without_names_is_learned_from_y_alone() -> None:
    """Numbers in any scale and labels of any type: as good as they are apart."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(loc=at, size=(40, 3)) for at in (0, 5, 10)])
    y = np.repeat([3, 7, -1], 40)
    clf = Classifier().fit(X, y)
    assert (clf.predict(X) == y).mean() > 0.9
    assert clf.classes_.tolist() == [-1, 3, 7]
    assert np.array_equal(pickle.loads(pickle.dumps(clf)).predict(X), clf.predict(X))
