"""`rung classify` with a model behind a server."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from servers import Server, running

pytestmark = pytest.mark.server


def test_a_file_is_labelled_by_a_server(rung: Any, tmp_path: Path) -> None:
    """Every row has a label or the reason why not; each text is asked once, for the fit and the answers; the summary counts."""
    table = tmp_path / "in.csv"
    table.write_text("text\n" + "".join(f"{name} number {i}\n" for i in range(5) for name in ("card", "film")), "utf-8")

    def fault(n: int, prompt: str) -> str | None:
        return "400" if "film number 3" in prompt else None

    with running(Server(fault=fault)) as server:
        name = f"openai:tiny@{server.url}?max_requests=40"
        args = ("--labels", "card,film,app", "--backbone", name, "--no-cache", "--out", tmp_path / "out.csv")
        ran = rung("classify", table, *args)
        assert ran.code == 0, ran.err
        assert max(server.answered.values()) == 1
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text("utf-8"))))
    assert [row["label"] for row in rows[:2]] == ["card", "film"]
    assert [row["text"] for row in rows if not row["label"]] == ["film number 3"]
    assert "refuses the request (HTTP 400)" in next(row["error"] for row in rows if not row["label"])
    assert "sent to the server: " in ran.err
    assert "are sent to" not in ran.err
