"""Tasks and their heads: linear maps from what an encoder says of a text, or of two, to scores of labels or to a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.errors import UserError
from rung.labels import LabelIndex, distinct
from rung.labels.containers import is_missing
from rung.labels.normal_form import LabelValue
from rung.training.length_grouping import unit_rows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What is learned and what it is measured on: texts or pairs of texts, and labels, or numbers where `labels` is empty."""

    name: str
    texts: list[Any]
    truth: npt.NDArray[Any]  # places among `labels`, or numbers
    test_texts: list[Any]
    test_truth: npt.NDArray[Any]
    labels: list[LabelValue]

    @property
    def pairs(self) -> bool:
        """Whether each text is two."""
        return not isinstance(self.texts[0], str)

    @property
    def metric(self) -> str:
        """What it is measured by."""
        return "accuracy" if self.labels else "correlation"

    @classmethod
    def of(
        cls, name: str, texts: Sequence[Any], given: Sequence[Any], *, test: Any, held_out: float, seed: int
    ) -> Task:
        """A task as a person gives it. Raises UserError for what cannot be learned or measured."""
        rows, truth = _rows(name, texts, given)
        numbers = all(isinstance(each, float | np.floating) for each in truth)
        labels = [] if numbers else distinct(truth)
        apart = np.random.default_rng(seed).permutation(len(rows)) < max(1, round(held_out * len(rows)))
        kept = [not (test is None and out) for out in apart]
        learned = [(row, each) for row, each, keep in zip(rows, truth, kept, strict=True) if keep]
        held = [(row, each) for row, each, keep in zip(rows, truth, kept, strict=True) if not keep]
        measured = held if test is None else list(zip(*_rows(name, *test), strict=True))
        made = cls(name, *_columns(learned, labels, name), *_columns(measured, labels, name), labels)
        made._check()
        return made

    def _check(self) -> None:
        said = "" if self.labels else "number"
        if len(self.labels) == 1 or (not self.labels and np.ptp(self.truth) == 0):
            raise UserError(
                "multitask: {name!r} has one {said} only ({labels}).",
                "Give texts of two labels or more, or of different numbers.",
                name=self.name,
                said=said or "label",
                labels=self.labels[0] if self.labels else self.truth[0],
            )
        if self.pairs and self.labels:
            raise UserError(
                "multitask: {name!r} has pairs of texts with labels.",
                "Give numbers (floats) for pairs.",
                name=self.name,
            )

    def parts(self) -> dict[str, Any]:
        """What a record keeps of it."""
        return {
            "texts": self.texts,
            "labels": self.truth,
            "test texts": self.test_texts,
            "test labels": self.test_truth,
        }

    def worth(self, outputs: Floats, rows: npt.NDArray[np.intp] | None = None) -> float:
        """Accuracy, or Pearson's correlation, of outputs (n, k) or (n, 1), on some of the test texts."""
        outputs, truth = (outputs, self.test_truth) if rows is None else (outputs[rows], self.test_truth[rows])
        if self.labels:
            return float((outputs.argmax(axis=1) == truth).mean())
        spread = outputs[:, 0].std() * truth.std()
        return (
            float(((outputs[:, 0] - outputs[:, 0].mean()) * (truth - truth.mean())).mean() / spread) if spread else 0.0
        )


def _rows(name: str, texts: Sequence[Any], given: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Texts and labels side by side, those without a label left out."""
    if len(texts) != len(given):
        raise UserError(
            "multitask: {name!r} has {n_texts} texts and {n_given} labels.",
            "Give one label a text.",
            name=name,
            n_texts=len(texts),
            n_given=len(given),
        )
    kept = [(text, label) for text, label in zip(texts, given, strict=True) if not is_missing(label)]
    for text, _ in kept:
        if not (
            isinstance(text, str) or (isinstance(text, tuple | list) and [type(each) for each in text] == [str, str])
        ):
            raise UserError(
                "multitask: {name!r} holds {text!r}.",
                "Give strings, or pairs of strings.",
                name=name,
                text=str(text)[:40],
            )
    if len({isinstance(text, str) for text, _ in kept}) > 1:
        raise UserError("multitask: {name!r} has both texts and pairs of texts.", "Make two tasks of them.", name=name)
    if len(kept) < 4:
        raise UserError(
            "multitask: {name!r} has {n_kept} labelled texts.",
            "Give 4 or more: some are held out.",
            name=name,
            n_kept=len(kept),
        )
    return [text if isinstance(text, str) else tuple(text) for text, _ in kept], [label for _, label in kept]


def _columns(
    rows: Sequence[tuple[Any, Any]], labels: list[LabelValue], name: str
) -> tuple[list[Any], npt.NDArray[Any]]:
    """Texts, and what is true of them; a label that is never learned is place −1, so that every answer there is wrong."""
    index = LabelIndex(labels)
    truths = [_place(index, truth) if labels else float(truth) for _, truth in rows]
    if labels and max(truths) < 0:
        raise UserError(
            "multitask: {name!r} is tested on labels that it never learns.", "Test it on its own labels.", name=name
        )
    return [text for text, _ in rows], np.array(truths)


def _place(index: LabelIndex, truth: Any) -> int:
    found = index.find(truth)
    return -1 if found is None else found


@dataclass(frozen=True)
class Head:
    """A head at rest: outputs = rows @ weights + bias, numbers then times `scale` plus `center`."""

    task: str
    labels: list[LabelValue]
    pairs: bool
    weights: list[list[float]]  # (d or 2 d, k)
    bias: list[float]
    center: float
    scale: float

    def outputs(self, rows: Floats) -> Floats:
        """Scores (n, k) of labels, or numbers (n, 1)."""
        return np.asarray(rows @ np.array(self.weights) + self.bias) * self.scale + self.center

    def answers(self, outputs: Floats) -> list[Any]:
        """Labels or numbers."""
        if self.labels:
            return [self.labels[i] for i in outputs.argmax(axis=1)]
        return [float(value) for value in outputs[:, 0]]


def embeddings(embed: Callable[[list[str]], Any], texts: Sequence[Any], pairs: bool) -> Floats:
    """What a head reads, of unit rows (n, d): coordinates of size about 1, or for pairs |u − v| and u ∘ v, (n, 2 d)."""
    if not pairs:
        rows = np.asarray(embed(list(texts)), dtype=np.float64)
        return np.asarray(rows * np.sqrt(rows.shape[1]))
    first, second = (np.asarray(embed([text[i] for text in texts]), dtype=np.float64) for i in (0, 1))
    size = np.sqrt(first.shape[1])
    return np.hstack([np.abs(first - second) * size, first * second * size**2])


Network = Any  # torch's, made below: torch is not imported before it is needed


def network(  # noqa: C901 - a class that needs torch, which is not imported before it is needed
    encoder: Any, tasks: Sequence[Task], weighting: str, weights: dict[str, float], pace: float = 1.0
) -> Network:
    """The shared encoder with a head for each task, as a module whose `forward` gives the weighed loss of a batch of one task.

    pace: how many times as fast as the rest weights are learned.
    """
    import torch
    from torch.nn import Linear, Module, ModuleList, Parameter
    from torch.nn.functional import cross_entropy, mse_loss

    width = encoder.get_embedding_dimension()

    class Shared(Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.heads = ModuleList(Linear(width * (1 + t.pairs), len(t.labels) or 1) for t in tasks)
            self.paced = Parameter(torch.zeros(len(tasks)), requires_grad=weighting == "uncertainty")  # s_t / pace
            self.losses: dict[int, list[float]] = {t: [] for t in range(len(tasks))}

        def forward(self, task: Any, labels: Any, **tokens: Any) -> dict[str, Any]:
            t = int(task[0])
            outputs = self.heads[t](self.rows(tokens))
            loss = cross_entropy(outputs, labels) if tasks[t].labels else mse_loss(outputs[:, 0], labels)
            self.losses[t].append(float(loss.detach()))
            return {"loss": self.weighed(t, loss)}

        def weighed(self, t: int, loss: Any) -> Any:
            if weighting == "fixed":
                return weights.get(tasks[t].name, 1.0) * loss
            s = pace * self.paced[t]
            return torch.exp(-s) * loss * (1.0 if tasks[t].labels else 0.5) + s / 2

        def rows(self, tokens: dict[str, Any]) -> Any:
            own = {name: value for name, value in tokens.items() if not name.startswith("second_")}
            first = unit_rows(self.encoder, own)
            if "second_input_ids" not in tokens:
                return first * width**0.5
            named = {
                name.removeprefix("second_"): value for name, value in tokens.items() if name.startswith("second_")
            }
            second = unit_rows(self.encoder, named)
            return torch.cat([(first - second).abs() * width**0.5, first * second * width], dim=1)

        def tokens(self, texts: Sequence[Any]) -> dict[str, Any]:
            if isinstance(texts[0], str):
                return dict(self.encoder.preprocess(list(texts)))
            found = self.tokens([text[0] for text in texts])
            return found | {f"second_{name}": value for name, value in self.tokens([text[1] for text in texts]).items()}

        def collated(self, rows: Sequence[tuple[int, int]]) -> dict[str, Any]:
            t = rows[0][0]
            truth = torch.tensor([tasks[t].truth[i] for _, i in rows])
            if not tasks[t].labels:
                center, scale = spread(tasks[t])
                truth = ((truth - center) / scale).float()
            made = self.tokens([tasks[t].texts[i] for _, i in rows])
            kept = {name: value for name, value in made.items() if hasattr(value, "shape") and value.ndim > 0}
            return kept | {"task": torch.full((len(rows),), t), "labels": truth}

        def predicted(self, t: int, texts: Sequence[Any]) -> Floats:
            """Outputs (n, k) of a task's head, in evaluation."""
            head = self.frozen()[t]
            return head.outputs(embeddings(self.embedded, texts, head.pairs))

        def embedded(self, texts: list[str]) -> Any:
            how = {"batch_size": 64, "normalize_embeddings": True, "show_progress_bar": False}
            return self.encoder.encode(texts, **how)

        def frozen(self) -> list[Head]:
            found = []
            for task, head in zip(tasks, self.heads, strict=True):
                center, scale = (0.0, 1.0) if task.labels else spread(task)
                W, b = head.weight.detach().T.cpu().tolist(), head.bias.detach().cpu().tolist()
                found.append(Head(task.name, task.labels, task.pairs, W, b, center, scale))
            return found

        def weights(self) -> dict[str, float]:
            learned = torch.exp(-pace * self.paced.detach()).tolist()
            return {task.name: round(value, 4) for task, value in zip(tasks, learned, strict=True)}

    return Shared()


def spread(task: Task) -> tuple[float, float]:
    """Mean and standard deviation of the numbers that are learned."""
    return float(task.truth.mean()), float(task.truth.std())
