"""What else label names and unlabelled embeddings can be given to: each peer answers from the same arrays as the rungs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from measure import Floats, Indices
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import BayesianGaussianMixture
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from rung.evidence import Evidence

SEEDS = 0.2  # of the texts given to a label by the names rung, the most confident ones become its labelled texts
NONE = -1  # scikit-learn's mark of a text without a label

ZERO_LABELS = {
    "cosine": "the nearest embedding of a bare label name (sentence-transformers' way)",
    "k-means": "KMeans started at the anchors of the names rung, one run",
    "label spreading": "LabelSpreading(kernel='knn', n_neighbors=10) from the seeds",
    "self-training": "SelfTrainingClassifier(LogisticRegression(max_iter=1000)), its defaults, from the seeds",
    "Bayesian mixture": "BayesianGaussianMixture(covariance_type='tied'), its first responsibilities the answers of the "
    "names rung, so that it starts at their class means (SimPTC's way); components keep their label",
    "seeds": "of the texts that the names rung gives a label, the 20 % it is surest of, at least one",
}


def zero_labels(evidence: Evidence, names: Floats, bare: Any) -> dict[str, Indices]:
    """Each peer's answers (n,), from evidence, the log posterior (n, k) of the names rung, and embeddings (k, d) of bare names."""
    x, answers = evidence.features, names.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)  # self-training says where it stopped
        k_means = KMeans(len(evidence.anchors), init=evidence.anchors, n_init=1).fit(x)
        marked = seeds(names)
        return {
            "cosine": (x @ bare.T).argmax(axis=1),
            "k-means": k_means.labels_.astype(np.intp),
            "label spreading": label_spreading(x, marked),
            "self-training": SelfTrainingClassifier(LogisticRegression(max_iter=1000)).fit(x, marked).predict(x),
            "Bayesian mixture": _Started(answers, len(evidence.anchors)).fit_predict(x.astype(np.float64)),
        }


def seeds(names: Floats) -> Indices:
    """The labels (n,) that the names rung is surest of, label by label; −1 elsewhere."""
    answers, sure = names.argmax(axis=1), names.max(axis=1)
    marked = np.full(len(names), NONE)
    for label in np.unique(answers):
        own = np.flatnonzero(answers == label)
        marked[own[np.argsort(-sure[own], kind="stable")[: max(1, int(SEEDS * len(own)))]]] = label
    return marked


def label_spreading(x: Any, marked: Indices) -> Indices:
    """scikit-learn's label spreading along 10 neighbours; a text out of reach gets the first label."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = LabelSpreading(kernel="knn", n_neighbors=10).fit(x, marked)
    return np.asarray(found.transduction_)


def logistic_regression(x: Any, labels: Indices, new: Any) -> Indices:
    """The answers for `new` of a logistic regression on labelled texts."""
    if len(np.unique(labels)) == 1:
        return np.full(len(new), labels[0])
    return np.asarray(LogisticRegression(C=10, max_iter=1000).fit(x, labels).predict(new))


def class_means(x: Any, labels: Indices, new: Any) -> Indices:
    """The answers for `new` of the nearest mean, by cosine."""
    present = np.unique(labels)
    means = np.stack([x[labels == label].mean(axis=0) for label in present])
    return np.asarray(present[(new @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(axis=1)])


class _Started(BayesianGaussianMixture):  # type: ignore[misc]
    """A Bayesian mixture that starts from given answers instead of k-means."""

    def __init__(self, answers: Indices, k: int) -> None:
        super().__init__(n_components=k, covariance_type="tied", random_state=0)
        self.answers, self.k = answers, k

    def _initialize_parameters(self, X: Any, *_: Any, **__: Any) -> None:
        self._initialize(X, np.eye(self.k)[self.answers])
