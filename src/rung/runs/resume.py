"""A run that resumes where it was stopped: its fitted classifier and its answers are kept in a folder beside the output."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from rung.decide.answer import Answer
from rung.errors import UserError
from rung.messages import tr
from rung.text_encoding import cannot_read

_STATE, _ANSWERS, _CLASSIFIER, _LOCK, _PART = "run.json", "answers.jsonl", "classifier", "lock", "part"
_SYNC_S = 2.0  # when the machine itself goes down, at most this many seconds of answers are lost


class Run:
    """What a stopped run leaves for the next run of the same command, after Ctrl-C, kill -9, a full disk or a reboot.

    `facts` name what the answers depend on (the input, the labels, the backbone …), each with a hash. If an earlier run left a
    folder with the same facts, its fitted classifier and its answers are reused. `resumed` is the number of rows that are
    answered already; `changed` names the facts that differ, and then everything starts again. Answers are appended chunk by
    chunk; an incomplete chunk is dropped. The folder is removed when the with-block ends without an error. It holds hashes,
    answers and what the classifier learned, but no texts.
    """

    def __init__(self, out: Path | None, facts: Mapping[str, str], total: int) -> None:
        self.folder = _folder(out)
        self.resumed = 0
        self.changed: list[str] = []
        self._facts = dict(facts)
        self._answers: IO[str] | None = None
        self._lock: IO[str] | None = None
        self._rows = 0
        self._total = total
        self._keeps_folder = False
        self._synced = time.monotonic()

    @property
    def part(self) -> Path | None:
        """Where the output is written until it is complete."""
        return None if self.folder is None else self.folder / _PART

    @property
    def classifier(self) -> Path | None:
        """The folder of the classifier that was fitted before, or None."""
        found = None if self.folder is None else self.folder / _CLASSIFIER
        return found if found is not None and os.path.isdir(found) else None

    def save_classifier(self, classifier: Any) -> None:
        """Save a fitted classifier, so that the next run need not fit again. Raises UserError if there is no room."""
        if self.folder is None:
            return
        try:
            classifier.save(self.folder / _CLASSIFIER)
        except UserError as error:
            raise UserError("{fault}", "Make room there, and give the same command again.", fault=error.what) from None

    def keep_folder(self) -> bool:
        """Keep the folder although the run succeeds, so that the command can be repeated; False if there is no folder."""
        self._keeps_folder = self.folder is not None
        return self._keeps_folder

    def answers(self) -> Iterator[list[Answer]]:
        """The chunks of answers that the earlier run wrote."""
        if self.folder is None or not self.resumed:
            return
        left = self.resumed
        with (self.folder / _ANSWERS).open(encoding="utf-8") as file:
            for line in file:
                answers = _parsed(line)
                if not left or answers is None:
                    return
                left -= len(answers)
                yield answers

    def append(self, answers: Sequence[Answer]) -> None:
        """Append a chunk of answers. Raises UserError if there is no room."""
        self._rows += len(answers)
        if self._answers is None:
            return
        try:
            self._answers.write(_line(answers))
            self._answers.flush()
            if time.monotonic() - self._synced > _SYNC_S:
                os.fsync(self._answers.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise _no_room(self.folder, error) from None

    def __enter__(self) -> Self:
        if self.folder is not None:
            try:
                self._open(self.folder)
            except OSError as error:
                self._close()
                made = os.path.isdir(self.folder)
                if made:
                    _empty(self.folder)
                    raise _no_room(self.folder, error) from None
                self.folder = None  # opening the output fails as well, and gives the better message
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        kept = self._rows + self.resumed > 0 or self.classifier is not None
        if self.folder is not None and not self._keeps_folder and (error is None or not kept):
            shutil.rmtree(self.folder, ignore_errors=True)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(self._stopped()) from None

    def _stopped(self) -> str:
        """The row at which the run was stopped, and how to resume it; empty if no row was answered and nothing was fitted."""
        row = self._rows + self.resumed
        where = {"row": row, "total": self._total}
        if row and self.folder is None:
            return tr(
                "stopped after row {row:,} of {total:,}; the rows so far are on standard output.\n"
                "  They cannot be resumed. A run that can:  --out FILE",
                **where,
            )
        if row:
            return tr("stopped after row {row:,} of {total:,}.\n  The same command resumes there.", **where)
        if self.classifier is not None:
            return tr(
                "stopped before the first of {total:,} rows; what was fitted is kept.\n  The same command resumes there.",
                **where,
            )
        return ""

    def _close(self) -> None:
        for file in (self._answers, self._lock):
            if file is not None:
                with suppress(OSError):
                    file.close()

    def _open(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._lock = _locked(folder)
        before = _read(folder / _STATE)
        self.changed = (
            [] if before is None else sorted(name for name in self._facts if before.get(name) != self._facts[name])
        )
        if before is None or self.changed:
            _empty(folder)
            _write(folder / _STATE, self._facts)
        self.resumed, size = _counted(folder / _ANSWERS)
        self._answers = (folder / _ANSWERS).open("a", encoding="utf-8", newline="")
        self._answers.truncate(size)


def _no_room(folder: Path | None, error: OSError) -> UserError:
    return UserError(
        "{folder} cannot be written: {fault}.",
        "Make room there; the same command then resumes where it was.",
        folder=folder,
        fault=error.strerror or error,
    )


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes; of a pipe, which cannot be read again, a value that occurs only once.

    Raises UserError where the file cannot be read.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        return secrets.token_hex(32)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise cannot_read(path, error) from None


def value_hash(value: object) -> str:
    """sha256 of a value's JSON text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True, default=str).encode()).hexdigest()


def _folder(out: Path | None) -> Path | None:
    """The folder of the run, beside the output and so on the same disk; None for standard output or a missing folder."""
    if out is None or str(out) == "-" or not os.path.isdir(out.parent) or os.path.isdir(out):
        return None
    target = Path(os.path.realpath(out))
    return target.with_name(f".{target.name}.rung-run")


def _locked(folder: Path) -> IO[str]:
    """Lock the folder as long as this process lives. Raises UserError if another process holds the lock."""
    file = (folder / _LOCK).open("w")
    try:
        import fcntl
    except ImportError:  # Windows has no flock: there nothing stops two runs at once
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UserError(
            "another run is writing {file}.",
            "Wait until it ends, or name another file:  --out OTHER",
            file=folder.name.removeprefix(".").removesuffix(".rung-run"),
        ) from None
    return file


def _empty(folder: Path) -> None:
    for name in (_STATE, _ANSWERS, _PART):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / _CLASSIFIER, ignore_errors=True)


def _read(file: Path) -> dict[str, str] | None:
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(file: Path, facts: Mapping[str, str]) -> None:
    fresh = file.with_name(file.name + ".new")
    with fresh.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(facts, indent=2) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)


def _counted(file: Path) -> tuple[int, int]:
    """The number of rows in the complete lines of a log of answers, and the size of these lines in bytes."""
    rows, size = 0, 0
    if not file.is_file():
        return 0, 0
    with file.open("rb") as stream:
        for line in stream:
            answers = _parsed(line.decode("utf-8", "replace"))
            if answers is None:
                break
            rows, size = rows + len(answers), size + len(line)
    return rows, size


def _line(answers: Sequence[Answer]) -> str:
    """Answers as one line of JSON; what rows have in common (rung, reason, error) is written once."""
    shared_values: dict[tuple[str, str, str | None], int] = {}
    indexes = [shared_values.setdefault((each.rung, each.reason, each.error), len(shared_values)) for each in answers]
    columns = {
        "label": [each.label for each in answers],
        "probability": [each.probability for each in answers],
        "said": indexes,
        "words": list(shared_values),
        "sets": [each.label_set for each in answers],
    }
    return json.dumps(columns, separators=(",", ":")) + "\n"


def _parsed(line: str) -> list[Answer] | None:
    """The answers of a line; None if it is incomplete."""
    if not line.endswith("\n"):
        return None
    try:
        columns = json.loads(line)
        rows = zip(columns["label"], columns["probability"], columns["said"], columns["sets"], strict=True)
        shared_values = columns["words"]
        return [Answer(_label(name), p, *(*shared_values[i], _label(held))) for name, p, i, held in rows]
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _label(value: Any) -> Any:
    """A label as JSON keeps it; several of them are a tuple again."""
    return tuple(value) if isinstance(value, list) else value
