"""Answer every row of a table and write the answers, where a stopped run left answers from there on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rung.messages import tr

if TYPE_CHECKING:
    from concurrent.futures import Future

    from rung.cli.known_labels import KnownLabels
    from rung.cli.summary import Tally
    from rung.decide.answer import Answer
    from rung.estimator.classifier import Classifier
    from rung.runs.resume import Run
    from rung.tables import Chunk, Output, Table

_CHUNK_ROWS = 4096  # rows that are answered, kept and written at once


@dataclass(frozen=True)
class Answering:
    """Answers the rows of a table: `level` adds a set of labels to each answer, `engine` is "here" or "ray"."""

    table: Table
    known_labels: KnownLabels
    classifier: Classifier
    engine: str = "here"
    level: float | None = None

    def write_all(self, run: Run, tally: Tally, writer: Output) -> None:
        """Write an answer for every row: first those of a stopped run as they are, then new ones, which `run` keeps."""
        from rung.cli import display

        with display.progress(self.table.rows, tr("classifying"), done=run.resumed) as advance:
            chunks = self.table.chunks(_CHUNK_ROWS)
            for answers in run.answers():
                self._write(next(chunks), answers, tally, writer)
            for chunk, predicted in self._answered(chunks, advance):
                answers = self.known_labels.override(chunk, predicted)
                run.append(answers)
                self._write(chunk, answers, tally, writer)

    def _write(self, chunk: Chunk, answers: list[Answer], tally: Tally, writer: Output) -> None:
        from rung.cli.classifier_inputs import faults_of

        tally.add(chunk.texts, answers, self.classifier)
        columns = _answer_columns(answers, faults_of(chunk, self.classifier))
        if self.level is not None:
            columns.append([_label_set(answer) for answer in answers])
        writer.write(chunk, columns)

    def _answered(
        self, chunks: Iterator[Chunk], advance: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[Answer]]]:
        """Each chunk with its answers, in order; some chunks may be read before earlier ones are written."""
        if self.engine == "ray":
            return self._answered_by_ray(chunks, advance)

        def answer(chunk: Chunk) -> list[Answer]:
            return self.classifier.answers(self._inputs(chunk), level=self.level, progress=advance)

        if any(each.costly for each in (self.classifier.loaded_backbone, self.classifier.geometry_backbone)):
            return ((chunk, answer(chunk)) for chunk in chunks)
        return _answered_ahead(chunks, answer)

    def _answered_by_ray(
        self, chunks: Iterator[Chunk], advance: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[Answer]]]:
        from rung.runs.distributed import answered

        waiting: deque[Chunk] = deque()

        def inputs() -> Iterator[Sequence[Any]]:
            for chunk in chunks:
                waiting.append(chunk)
                yield self._inputs(chunk)

        for answers in answered(inputs(), self.classifier):
            advance(len(answers))
            yield waiting.popleft(), answers

    def _inputs(self, chunk: Chunk) -> Sequence[Any]:
        from rung.cli.classifier_inputs import inputs_of

        return inputs_of(chunk.texts, self.table, self.classifier)


def _answered_ahead(
    chunks: Iterator[Chunk], answer: Callable[[Chunk], list[Answer]]
) -> Iterator[tuple[Chunk, list[Answer]]]:
    """Each chunk with its answers, while the next chunk is answered in a thread.

    It pays where a backbone is as quick as reading and writing; with a costly one Ctrl-C would have to wait for the next chunk.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as worker:
        waiting: deque[tuple[Chunk, Future[list[Answer]]]] = deque()
        for chunk in chunks:
            waiting.append((chunk, worker.submit(answer, chunk)))
            if len(waiting) > 1:
                first, answers = waiting.popleft()
                yield first, answers.result()
        for first, answers in waiting:
            yield first, answers.result()


def _answer_columns(answers: list[Answer], faults: list[str | None]) -> list[list[Any]]:
    """The columns label, probability (with four digits) and error (why a row has no label) of a chunk."""
    from rung.decide.answer import GIVEN

    given = tr("none of these, as given")
    errors = [
        fault or (None if answer.label is not None else given if answer.rung == GIVEN else answer.reason)
        for fault, answer in zip(faults, answers, strict=True)
    ]
    return [
        [_joined(answer.label) if isinstance(answer.label, tuple) else answer.label for answer in answers],
        [None if answer.probability is None else round(answer.probability, 4) for answer in answers],
        errors,
    ]


def _label_set(answer: Answer) -> str | None:
    """The set of labels of a text in one cell; for a given label, that label."""
    from rung.decide.answer import GIVEN

    labels = answer.label if answer.rung == GIVEN else answer.label_set
    return _joined(labels) if isinstance(labels, tuple) else None if labels is None else str(labels)


def _joined(labels: tuple[Any, ...]) -> str:
    from rung.cli.label_files import SEPARATOR

    return SEPARATOR.join(map(str, labels))
