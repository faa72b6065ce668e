"""Metrics where some texts get no answer: as many as there are, and never right."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from rung import Classifier, UserError, scorer
from rung.evaluation.scorer import NAMES

LABELS = {"billing": "invoice payment", "bug": "crash error", "praise": "thanks great"}
TEXTS = [f"{word} {i}" for i in range(5) for word in LABELS.values()]
TRUTH = list(LABELS) * 5


class Said:
    """An estimator that gives the answers it is told."""

    def __init__(self, answers: list[Any], classes: list[Any]) -> None:
        self.answers, self.classes_ = answers, np.array(classes)

    def predict(self, X: Any) -> Any:
        answers = np.empty(len(X), dtype=object)
        answers[:] = self.answers
        return answers


@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30), name=st.sampled_from(NAMES)
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_where_all_are_answered_it_is_scikit_learns(rows: list[tuple[int, int]], name: str) -> None:
    """Every metric equals scikit-learn's own on the same answers."""
    k = 3 if "_" in name or name == "accuracy" else 2
    truth, answers = ([min(row[side], k - 1) for row in rows] for side in (0, 1))
    metric, _, average = name.partition("_")
    if metric in ("f1", "precision", "recall", "jaccard"):
        own = getattr(metrics, f"{metric}_score")(truth, answers, average=average or "binary", zero_division=0)
    elif name in ("matthews_corrcoef", "cohen_kappa"):
        own = getattr(metrics, name.replace("kappa", "kappa_score"))(truth, answers)
    else:
        own = getattr(metrics, f"{name}_score")(truth, answers)
    assert scorer(name)(Said(answers, list(range(k))), truth, truth) == pytest.approx(own, nan_ok=True)


def test_no_answer_is_not_right() -> None:
    """It lowers recall, leaves precision as it is, and adds no label to the mean."""
    truth, answers = ["a", "a", "b", "b"], ["a", None, "b", "b"]
    said = Said(answers, ["a", "b"])
    assert scorer("accuracy")(said, truth, truth) == 0.75
    assert scorer("recall_macro")(said, truth, truth) == 0.75
    assert scorer("balanced_accuracy")(said, truth, truth) == 0.75
    assert scorer("precision_macro")(said, truth, truth) == 1
    assert scorer("f1_macro")(said, truth, truth) == pytest.approx((2 / 3 + 1) / 2)
    assert scorer("recall")(said, truth, truth) == 1
    assert scorer("accuracy")(said, truth, ["a", None, "b", "b"]) == 1


@pytest.mark.parametrize("name", [None, *(scorer(name) for name in ("accuracy", "f1_macro", "matthews_corrcoef"))])
def test_missing_texts_break_no_cross_validation(name: Any) -> None:
    """A missing text, a rejected one, an unsure tree: cross_val_score and searches give numbers, lower ones."""
    gaps = [*TEXTS, None, "", "   "]
    truth = [*TRUTH, "bug", "billing", "praise"]
    whole = cross_val_score(Classifier(LABELS, backbone="builtin"), TEXTS, TRUTH, cv=3, scoring=name).mean()
    found = cross_val_score(Classifier(LABELS, backbone="builtin"), gaps, truth, cv=3, scoring=name)
    assert np.isfinite(found).all()
    assert found.mean() < whole


def test_score_takes_rejected_texts_and_unsure_trees() -> None:
    """score counts None as not right, and a label under the true one as right."""
    tree = Classifier({"work": {"children": LABELS}, "other": "holiday"}, backbone="builtin", confidence=1.0).fit(TEXTS)
    assert tree.score(TEXTS, TRUTH) < 1
    tree.set_params(confidence=0.0)
    assert tree.score(TEXTS, ["work"] * len(TEXTS)) == 1
    rejecting = Classifier(LABELS, backbone="builtin", reject=0.4).fit(TEXTS)
    silent = np.array([label is None for label in rejecting.predict(TEXTS)])
    assert silent.any()
    assert rejecting.score(TEXTS, TRUTH) == pytest.approx((~silent).mean(), abs=0.1)
    assert rejecting.score(TEXTS, np.where(silent, "none of these", TRUTH)) >= rejecting.score(TEXTS, TRUTH)
    with pytest.raises(UserError, match="no text has a label"):
        rejecting.score(TEXTS, [None] * len(TEXTS))


def test_several_labels_are_scored_by_all_of_their_marks() -> None:
    """With multi_label a text is right where every mark is; marks that are not known take it out."""
    clf = Classifier(LABELS, backbone="builtin", multi_label=True).fit(TEXTS)
    marks = clf.predict(TEXTS).astype(float)
    assert clf.score(TEXTS, marks) == 1
    marks[0, 0] = 1 - marks[0, 0]
    assert clf.score(TEXTS, marks) == pytest.approx(1 - 1 / len(TEXTS))
    marks[0, 1] = np.nan
    assert clf.score(TEXTS, marks) == 1
    with pytest.raises(UserError, match="several labels for each text"):
        scorer("f1_macro")(clf, TEXTS, marks)


def test_it_is_pickled_and_works_in_pipelines_and_searches() -> None:
    """n_jobs and searches can carry it; a pipeline that ends with a classifier is scored too."""
    metric = pickle.loads(pickle.dumps(scorer("f1_macro")))
    lower = FunctionTransformer(lambda texts: [text and text.lower() for text in texts])
    steps = Pipeline([("lower", lower), ("clf", Classifier(LABELS, backbone="builtin"))])
    search = GridSearchCV(steps, {"clf__balanced": [True]}, cv=2, scoring=metric).fit([*TEXTS, None], [*TRUTH, "bug"])
    assert 0.5 < search.best_score_ < 1


def test_unknown_metrics_are_told() -> None:
    """A misspelled name, and a metric of two labels for three."""
    with pytest.raises(UserError, match="Did you mean 'f1_macro'"):
        scorer("f1_makro")
    with pytest.raises(UserError, match="for two labels, but there are 3"):
        scorer("f1")(Said(["a"], ["a", "b", "c"]), ["x"], ["a"])
