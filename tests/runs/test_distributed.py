"""Ray: the same output to the byte, on two processors without a deadlock, nothing sent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rung import Classifier, UserError
from rung.runs import distributed

LABELS = "billing,bug report"
TEXTS = [
    f"the {what} {n}" for n in range(900) for what in ("invoice is wrong", "app crashes at start", "price was charged")
]

ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs rung[ray]")

HERE = """
import sys
from rung.cli import main
sys.modules["rung.cli.answering"]._CHUNK_ROWS = 500  # so that a small file has several chunks
main()
"""
RAY = """
import ray
ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1", object_store_memory=200_000_000, log_to_driver=False)
"""


def run(*arguments: object, on_ray: bool) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; with Ray on two processors, which must end within two minutes."""
    how = [RAY + HERE, *map(str, arguments), "--engine", "ray"] if on_ray else [HERE, *map(str, arguments)]
    return subprocess.run([sys.executable, "-c", *how], capture_output=True, text=True, timeout=120)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A few thousand rows, one without a text."""
    file = tmp_path / "in.csv"
    rows = [f"{i:05},{text}" for i, text in enumerate(TEXTS)]
    file.write_text("id,text\n" + "\n".join([*rows[:1000], "x,", *rows[1000:]]) + "\n", "utf-8")
    return file


@ray
@pytest.mark.parametrize("way", [[], ["--no-pool"]])
def test_the_same_bytes_with_ray(table: Path, tmp_path: Path, way: list[str]) -> None:
    """On both rungs: rows in their order, the row without a text with its reason."""
    how = ["classify", table, "--labels", LABELS, "--backbone", "builtin", *way]
    here = run(*how, "--out", tmp_path / "here.csv", on_ray=False)
    there = run(*how, "--out", tmp_path / "there.csv", on_ray=True)
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    assert "the text is empty" in (tmp_path / "there.csv").read_text("utf-8")


@ray
def test_parquet_is_read_and_written_by_the_cluster(tmp_path: Path) -> None:
    """A folder of files to a folder of files: the rows in their order, the answers of one machine."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "in").mkdir()
    for part in range(3):
        texts = [*TEXTS[part * 300 : part * 300 + 300], None]
        numbers = [f"{part}{i:04}" for i in range(len(texts))]
        pq.write_table(pa.table({"id": numbers, "text": texts}), tmp_path / "in" / f"{part}.parquet")
    how = ["classify", tmp_path / "in", "--labels", LABELS, "--backbone", "builtin", "--out", tmp_path / "out"]
    ran = run(*how, on_ray=True)
    assert ran.returncode == 0, ran.stderr
    found = pq.read_table(tmp_path / "out").to_pydict()
    asked = pq.read_table(tmp_path / "in")
    assert found["id"] == asked["id"].to_pylist()
    texts = asked["text"].to_pylist()
    alone = Classifier(LABELS.split(","), backbone="builtin", cache=False).fit([text for text in texts if text])
    answers = alone.answers(texts)
    assert found["label"] == [each.label for each in answers]
    assert found["error"] == [each.error for each in answers]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An object store of S3's protocol on this machine, with an empty bucket: its file system."""
    pytest.importorskip("moto.server")
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    told = {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}
    for name, value in told.items():  # for the process that is tested
        monkeypatch.setenv(f"AWS_{name}", value)
    how = {"access_key": "a", "secret_key": "b", "region": "us-east-1", "allow_bucket_creation": True}
    system = fs.S3FileSystem(endpoint_override=address, **how)
    system.create_dir("bucket")
    yield system
    server.stop()


@ray
def test_from_an_object_store_to_an_object_store(store: Any) -> None:
    """Nothing of the data lies on a disk: rows in their order, each with its answer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for part in range(2):
        rows = {"id": [f"{part}{i:04}" for i in range(300)], "text": TEXTS[part * 300 : part * 300 + 300]}
        pq.write_table(pa.table(rows), f"bucket/in/{part}.parquet", filesystem=store)
    how = ["classify", "s3://bucket/in", "--labels", LABELS, "--backbone", "builtin", "--no-pool"]
    ran = run(*how, "--out", "s3://bucket/out", on_ray=True)
    assert ran.returncode == 0, ran.stderr
    found = pq.read_table("bucket/out", filesystem=store).to_pydict()
    assert found["text"] == TEXTS[:600]
    assert found["label"] == Classifier(LABELS.split(","), backbone="builtin").predict(TEXTS[:600]).tolist()


def test_one_processor_stays_free() -> None:
    """An actor on every processor would leave none for reading, and nothing would move."""

    class Cluster:
        def __init__(self, cpus: float) -> None:
            self.cpus = cpus

        def cluster_resources(self) -> dict[str, float]:
            return {"CPU": self.cpus}

    assert [distributed.actor_resources(Cluster(cpus)) for cpus in (1, 2, 16)] == [(1, 0.5), (1, 1.0), (15, 1.0)]


def test_a_classifier_travels_as_its_files() -> None:
    """What an actor makes of them answers the same."""
    clf = Classifier(LABELS.split(","), backbone="builtin", cache=False).fit(TEXTS[:60])
    there = distributed.ClassifierActor(distributed.classifier_files(clf), {"cache": False})
    assert (there.classifier.predict_proba(TEXTS[:9]) == clf.predict_proba(TEXTS[:9])).all()


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="Ray is not installed"), distributed.cluster():
        pass


@pytest.mark.server
@ray
def test_an_address_where_nobody_listens_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """RAY_ADDRESS is respected; Ray itself would knock for minutes."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match="no cluster answers"), distributed.cluster():
        pass
