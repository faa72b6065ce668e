"""Classification on Ray: actors that each hold the classifier answer chunks of texts, and the answers keep the order of rows.

A local file is read and written by this process, as without Ray, so that the output has the same bytes. Parquet on an object
store, or in a folder that all machines reach, is read and written by Ray Data where the actors are.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.errors import UserError
from rung.estimator.classifier import Classifier
from rung.evidence.text_faults import fault
from rung.runs.sampling import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rung.decide.answer import Answer

_QUEUED_CHUNKS = 2  # chunks queued at each actor, so that no actor is idle while a chunk is written
_BATCH = 1024  # rows
Files = dict[str, bytes]


@contextmanager
def cluster() -> Iterator[Any]:
    """Ray, connected to the cluster of RAY_ADDRESS, or to a small one on this machine that ends with the block.

    Raises UserError where Ray is not installed or the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported; nothing is sent unless asked
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # the coming default of Ray, which warns unless it is set
    try:
        import ray
    except ImportError:
        raise UserError("engine ray: Ray is not installed.", "pip install 'rung[ray]'") from None
    if ray.is_initialized():  # the caller started it, so the caller ends it
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS")
    try:
        _check_address(address)
        ray.init(**({} if address else _LOCAL_CLUSTER), log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            "engine ray: no cluster answers at {address} ({error})."
            if address
            else "engine ray: no cluster starts on this machine ({error}).",
            "Check RAY_ADDRESS, or unset it for a cluster on this machine.",
            address=address,
            error=str(error).splitlines()[0],
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str | None) -> None:
    """Raise OSError if nothing listens at host:port; Ray itself would wait for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()


_CONNECT_TIMEOUT_S = 10.0
_LOCAL_CLUSTER: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}


def actor_resources(ray: Any) -> tuple[int, float]:
    """The number of actors, and the CPUs of each. One CPU stays free for reading; without it Ray Data would deadlock."""
    cpus = int(ray.cluster_resources().get("CPU", 1))
    return (cpus - 1, 1.0) if cpus > 1 else (1, 0.5)


class ClassifierActor:
    """An actor that holds a classifier, loaded from its files, and so gives the same answers as the original."""

    def __init__(self, files: Files, settings: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory(prefix="rung-") as folder:
            write_files(files, Path(folder))
            self.classifier: Classifier = Classifier.load(folder).set_params(**settings)
            self.classifier.label_evidence()
            self.classifier.loaded_backbone.embed(["ready"])  # loads a backbone in the folder before it is removed

    def answers(self, texts: Sequence[Any]) -> list[Answer]:
        """The classifier's answers to these texts."""
        return self.classifier.answers(texts)

    def labelled(self, batch: Any, column: str, prefix: str) -> Any:
        """The Arrow table `batch` with the added columns label, probability and error."""
        import pyarrow as pa

        answers = self.answers(batch.column(column).to_pylist())
        types = {"label": pa.string(), "probability": pa.float64(), "error": pa.string()}
        for name, kind in types.items():
            values = [getattr(each, name) for each in answers]
            batch = batch.append_column(prefix + name, pa.array([_cell(value, name) for value in values], kind))
        return batch


def answered(chunks: Iterable[Sequence[Any]], classifier: Classifier) -> Iterator[list[Answer]]:
    """The answers to chunks of texts, in their order. Only as many chunks are read ahead as the actors can take."""
    with cluster() as ray:
        count, share = actor_resources(ray)
        files = ray.put(classifier_files(classifier))
        actor = ray.remote(num_cpus=share)(ClassifierActor)
        pool = [actor.remote(files, {"cache": classifier.cache}) for _ in range(count)]
        waiting: deque[Any] = deque()
        for number, texts in enumerate(chunks):
            waiting.append(pool[number % count].answers.remote(list(texts)))
            if len(waiting) >= _QUEUED_CHUNKS * count:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())


def classify_parquet(
    source: str, out: str, classifier: Classifier, *, text: str, prefix: str = "", fit: bool = True
) -> Classifier:
    """Label Parquet files that all machines of the cluster reach: a folder, a pattern, s3://… or gs://…, to Parquet in `out`.

    With `fit` the classifier is fitted first on a sample of the texts (those of the smallest keyed hashes, as on one machine).
    Rows keep their order. Raises UserError where there is no such column. Returns the classifier that answered.
    """
    with cluster() as ray:
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        if hasattr(context, "use_datasource_v2"):
            context.use_datasource_v2 = False  # Ray 2.60's newer reader sometimes loses the order that was requested
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it logs every step
        rows = ray.data.read_parquet(source)
        names = rows.schema().names
        if text not in names:
            raise UserError(
                "{source}: there is no column '{text}' (columns: {columns}).",
                "--text COLUMN",
                source=source,
                text=text,
                columns=", ".join(names),
            )
        if taken := [prefix + name for name in ("label", "probability", "error") if prefix + name in names]:
            raise UserError(
                "{source} already has the columns {taken}.",
                "Put a prefix before the new names:  --prefix rung_",
                source=source,
                taken=", ".join(taken),
            )
        if fit:
            texts = _sample_texts(rows, text)
            classifier = classifier.fit(texts) if texts else classifier
        count, share = actor_resources(ray)
        files = ray.put(classifier_files(classifier))
        how: dict[str, Any] = {"compute": ray.data.ActorPoolStrategy(size=count), "num_cpus": share}
        how |= {"batch_format": "pyarrow", "batch_size": _BATCH}
        making = {"fn_constructor_args": [files, {"cache": classifier.cache}, text, prefix]}
        rows.map_batches(_Labelling, **how, **making).write_parquet(out)
    return classifier


class _Labelling:
    """A ClassifierActor as Ray Data calls it."""

    def __init__(self, files: Any, settings: dict[str, Any], column: str, prefix: str) -> None:
        import ray

        own = ray.get(files) if isinstance(files, ray.ObjectRef) else files
        self.answerer, self.column, self.prefix = ClassifierActor(own, settings), column, prefix

    def __call__(self, batch: Any) -> Any:
        return self.answerer.labelled(batch, self.column, self.prefix)


def _sample_texts(rows: Any, text: str) -> list[str]:
    """A sample of the texts, to fit on."""
    sample = Sample()
    for batch in rows.select_columns([text]).iter_batches(batch_size=_BATCH, batch_format="pyarrow"):
        texts = [each for each in batch.column(text).to_pylist() if fault(each) is None]
        sample.add(texts, [None] * len(texts))
    return sample.rows()[0]


def classifier_files(classifier: Classifier) -> Files:
    """The files of a saved classifier: their relative names and their bytes."""
    with tempfile.TemporaryDirectory(prefix="rung-") as folder:
        own = Path(folder) / "classifier"
        classifier.save(own)
        return {str(path.relative_to(own)): path.read_bytes() for path in sorted(own.rglob("*")) if path.is_file()}


def write_files(files: Files, folder: Path) -> None:
    """Write the files of `classifier_files` into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _cell(value: Any, name: str) -> Any:
    """A value as a cell holds it: a label is text, several labels are joined with |, other values stay as they are."""
    if value is None or name != "label":
        return value
    return "|".join(map(str, value)) if isinstance(value, tuple) else str(value)
