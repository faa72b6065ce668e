"""Tasks and their heads: linear layers from the embedding of a text, or of a pair of texts, to label scores or to a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.backbones.encoder import control_tokens
from rung.errors import UserError
from rung.labels import LabelIndex, distinct
from rung.labels.containers import is_missing
from rung.labels.normal_form import LabelValue
from rung.training.length_grouping import normalized_embeddings

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """The training and test data of one task: texts or pairs of texts, with labels, or with numbers if `labels` is empty."""

    name: str
    texts: list[Any]
    truth: npt.NDArray[Any]  # indices into `labels`, or numbers
    test_texts: list[Any]
    test_truth: npt.NDArray[Any]
    labels: list[LabelValue]

    @property
    def pairs(self) -> bool:
        """Whether each item is a pair of texts."""
        return not isinstance(self.texts[0], str)

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return "accuracy" if self.labels else "correlation"

    @classmethod
    def of(
        cls, name: str, texts: Sequence[Any], given: Sequence[Any], *, test: Any, held_out: float, seed: int
    ) -> Task:
        """A task from the texts and labels of a person. Raises UserError if it cannot be trained or measured."""
        rows, truth = _rows(name, texts, given)
        numbers = all(isinstance(each, float | np.floating) for each in truth)
        labels = [] if numbers else distinct(truth)
        drawn = np.random.default_rng(seed).permutation(len(rows)) < max(1, round(held_out * len(rows)))
        in_training = [not (test is None and out) for out in drawn]
        train_rows = [(row, each) for row, each, keep in zip(rows, truth, in_training, strict=True) if keep]
        held_out_rows = [(row, each) for row, each, keep in zip(rows, truth, in_training, strict=True) if not keep]
        test_rows = held_out_rows if test is None else list(zip(*_rows(name, *test), strict=True))
        made = cls(name, *_columns(train_rows, labels, name), *_columns(test_rows, labels, name), labels)
        made._check()
        return made

    def _check(self) -> None:
        if len(self.labels) == 1:
            raise UserError(
                "multitask: {name!r} has one label only ({label}).",
                "Give texts of two labels or more.",
                name=self.name,
                label=self.labels[0],
            )
        if not self.labels and np.ptp(self.truth) == 0:
            raise UserError(
                "multitask: {name!r} has one number only ({number}).",
                "Give texts with different numbers.",
                name=self.name,
                number=self.truth[0],
            )
        if self.pairs and self.labels:
            raise UserError(
                "multitask: {name!r} has pairs of texts with labels.",
                "Give numbers (floats) for pairs.",
                name=self.name,
            )

    def parts(self) -> dict[str, Any]:
        """The parts of the data, for the hashes in the record."""
        return {
            "texts": self.texts,
            "labels": self.truth,
            "test texts": self.test_texts,
            "test labels": self.test_truth,
        }

    def score(self, outputs: Floats, rows: npt.NDArray[np.intp] | None = None) -> float:
        """Accuracy of outputs (n, k), or Pearson correlation of outputs (n, 1), on the test texts at `rows`, or on all."""
        outputs, truth = (outputs, self.test_truth) if rows is None else (outputs[rows], self.test_truth[rows])
        if self.labels:
            return float((outputs.argmax(axis=1) == truth).mean())
        scale = outputs[:, 0].std() * truth.std()
        covariance = ((outputs[:, 0] - outputs[:, 0].mean()) * (truth - truth.mean())).mean()
        return float(covariance / scale) if scale else 0.0


def _rows(name: str, texts: Sequence[Any], given: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Texts and labels, without the texts that have no label."""
    if len(texts) != len(given):
        raise UserError(
            "multitask: {name!r} has {texts} texts and {labels} labels.",
            "Give one label for each text.",
            name=name,
            texts=len(texts),
            labels=len(given),
        )
    kept = [(text, label) for text, label in zip(texts, given, strict=True) if not is_missing(label)]
    for text, _ in kept:
        if not (
            isinstance(text, str) or (isinstance(text, tuple | list) and [type(each) for each in text] == [str, str])
        ):
            raise UserError(
                "multitask: {name!r} holds {text!r}, which is neither a text nor a pair of texts.",
                "Give strings, or pairs of strings.",
                name=name,
                text=str(text)[:40],
            )
    if len({isinstance(text, str) for text, _ in kept}) > 1:
        raise UserError("multitask: {name!r} has both texts and pairs of texts.", "Make two tasks of them.", name=name)
    if len(kept) < 4:
        raise UserError(
            "multitask: {name!r} has {texts} labelled texts.",
            "Give 4 or more: some are held out.",
            name=name,
            texts=len(kept),
        )
    return [text if isinstance(text, str) else tuple(text) for text, _ in kept], [label for _, label in kept]


def _columns(
    rows: Sequence[tuple[Any, Any]], labels: list[LabelValue], name: str
) -> tuple[list[Any], npt.NDArray[Any]]:
    """Texts and their truth. A label that is not in the training data has index −1, so that every answer there counts as wrong."""
    index = LabelIndex(labels)
    truths = [_place(index, truth) if labels else float(truth) for _, truth in rows]
    if labels and max(truths) < 0:
        raise UserError(
            "multitask: {name!r} is tested only on labels that it never learns.",
            "Give test texts with labels of the training texts.",
            name=name,
        )
    return [text for text, _ in rows], np.array(truths)


def _place(index: LabelIndex, truth: Any) -> int:
    found = index.find(truth)
    return -1 if found is None else found


@dataclass(frozen=True)
class Head:
    """A trained head as plain numbers: outputs = (rows @ weights + bias) · scale + center."""

    task: str
    labels: list[LabelValue]
    pairs: bool
    weights: list[list[float]]  # (d or 2 d, k)
    bias: list[float]
    center: float
    scale: float

    def outputs(self, rows: Floats) -> Floats:
        """Label scores (n, k), or numbers (n, 1), from features (n, d)."""
        return np.asarray(rows @ np.array(self.weights) + self.bias) * self.scale + self.center

    def answers(self, outputs: Floats) -> list[Any]:
        """The label or the number of each row of outputs."""
        if self.labels:
            return [self.labels[i] for i in outputs.argmax(axis=1)]
        return [float(value) for value in outputs[:, 0]]


def embeddings(embed: Callable[[list[str]], Any], texts: Sequence[Any], pairs: bool) -> Floats:
    """The features of a head from unit embeddings (n, d): coordinates scaled to about 1; for pairs |u − v| and u ∘ v (n, 2 d)."""
    if not pairs:
        rows = np.asarray(embed(list(texts)), dtype=np.float64)
        return np.asarray(rows * np.sqrt(rows.shape[1]))
    first, second = (np.asarray(embed([text[i] for text in texts]), dtype=np.float64) for i in (0, 1))
    size = np.sqrt(first.shape[1])
    return np.hstack([np.abs(first - second) * size, first * second * size**2])


MultitaskNetwork = Any  # the class is defined in `build_network`, because torch is imported only when it is needed


def build_network(  # noqa: C901 - a class that needs torch, which is not imported before it is needed
    encoder: Any, tasks: Sequence[Task], weighting: str, weights: dict[str, float], rate_ratio: float = 1.0
) -> MultitaskNetwork:
    """The shared encoder with a head for each task: a torch module whose `forward` returns the weighted loss of one batch.

    rate_ratio: the learning rate of the task weights, divided by that of all other weights.
    """
    import torch
    from torch.nn import Linear, Module, ModuleList, Parameter
    from torch.nn.functional import cross_entropy, mse_loss

    width = encoder.get_embedding_dimension()

    class SharedEncoderNetwork(Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.control = control_tokens(encoder)
            self.heads = ModuleList(Linear(width * (1 + t.pairs), len(t.labels) or 1) for t in tasks)
            # s_t / rate_ratio
            self.scaled_log_variances = Parameter(torch.zeros(len(tasks)), requires_grad=weighting == "uncertainty")
            self.losses: dict[int, list[float]] = {t: [] for t in range(len(tasks))}

        def forward(self, task: Any, labels: Any, **tokens: Any) -> dict[str, Any]:
            t = int(task[0])
            outputs = self.heads[t](self.features(tokens))
            loss = cross_entropy(outputs, labels) if tasks[t].labels else mse_loss(outputs[:, 0], labels)
            self.losses[t].append(float(loss.detach()))
            return {"loss": self.weighted_loss(t, loss)}

        def weighted_loss(self, t: int, loss: Any) -> Any:
            if weighting == "fixed":
                return weights.get(tasks[t].name, 1.0) * loss
            s = rate_ratio * self.scaled_log_variances[t]
            return torch.exp(-s) * loss * (1.0 if tasks[t].labels else 0.5) + s / 2

        def features(self, tokens: dict[str, Any]) -> Any:
            of_first = {name: value for name, value in tokens.items() if not name.startswith("second_")}
            first = normalized_embeddings(self.encoder, of_first)
            if "second_input_ids" not in tokens:
                return first * width**0.5
            of_second = {
                name.removeprefix("second_"): value for name, value in tokens.items() if name.startswith("second_")
            }
            second = normalized_embeddings(self.encoder, of_second)
            return torch.cat([(first - second).abs() * width**0.5, first * second * width], dim=1)

        def tokens(self, texts: Sequence[Any]) -> dict[str, Any]:
            if isinstance(texts[0], str):
                return dict(self.encoder.preprocess(self.control.as_texts(texts)))
            found = self.tokens([text[0] for text in texts])
            return found | {f"second_{name}": value for name, value in self.tokens([text[1] for text in texts]).items()}

        def collate(self, rows: Sequence[tuple[int, int]]) -> dict[str, Any]:
            t = rows[0][0]
            truth = torch.tensor([tasks[t].truth[i] for _, i in rows])
            if not tasks[t].labels:
                center, scale = mean_and_std(tasks[t])
                truth = ((truth - center) / scale).float()
            made = self.tokens([tasks[t].texts[i] for _, i in rows])
            kept = {name: value for name, value in made.items() if hasattr(value, "shape") and value.ndim > 0}
            return kept | {"task": torch.full((len(rows),), t), "labels": truth}

        def predict(self, t: int, texts: Sequence[Any]) -> Floats:
            """The outputs (n, k) of a task's head, from NumPy embeddings."""
            head = self.detached_heads()[t]
            return head.outputs(embeddings(self.encode, texts, head.pairs))

        def encode(self, texts: list[str]) -> Any:
            options = {"batch_size": 64, "normalize_embeddings": True, "show_progress_bar": False}
            return self.encoder.encode(self.control.as_texts(texts), **options)

        def detached_heads(self) -> list[Head]:
            found = []
            for task, head in zip(tasks, self.heads, strict=True):
                center, scale = (0.0, 1.0) if task.labels else mean_and_std(task)
                W, b = head.weight.detach().T.cpu().tolist(), head.bias.detach().cpu().tolist()
                found.append(Head(task.name, task.labels, task.pairs, W, b, center, scale))
            return found

        def weights(self) -> dict[str, float]:
            learned = torch.exp(-rate_ratio * self.scaled_log_variances.detach()).tolist()
            return {task.name: round(value, 4) for task, value in zip(tasks, learned, strict=True)}

    return SharedEncoderNetwork()


def mean_and_std(task: Task) -> tuple[float, float]:
    """Mean and standard deviation of the numbers in the training data."""
    return float(task.truth.mean()), float(task.truth.std())
