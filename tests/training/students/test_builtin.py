"""The built-in model agrees with its record, and can be made again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from rung.backbones.catalog import catalog
from rung.backbones.static import BUILTIN, StaticBackbone
from rung.errors import UserError
from rung.training.students import builtin, free_corpora
from rung.training.students.static_distillation import mapped_vectors

RECORD = json.loads((BUILTIN / "record.json").read_text(encoding="utf-8"))


def test_the_record_names_the_files_that_are_shipped() -> None:
    """Each file of the model has the sha256 that the record gives, and the record's fingerprint is the model's."""
    for file, expected in RECORD["sha256"].items():
        assert hashlib.sha256((BUILTIN / file).read_bytes()).hexdigest() == expected, file
    assert StaticBackbone.open(BUILTIN, "builtin").fingerprint == RECORD["fingerprint"]


def test_the_record_names_its_inputs() -> None:
    """The record gives teacher and free texts by version and sha256, and the teacher is the MiniLM of the catalog."""
    assert RECORD["teacher"]["sha256"]["model.safetensors"] == catalog()["minilm"].sha256
    for source in RECORD["sources"]:
        assert source["version"]
        assert len(source["sha256"]) == 64
    assert RECORD["settings"] == builtin.SETTINGS


def test_the_model_is_small_and_carries_its_licence() -> None:
    """The folder stays under nine megabytes and says whose work it is derived from, under which licence."""
    assert sum(file.stat().st_size for file in BUILTIN.iterdir()) < 9e6
    notice = (BUILTIN / "NOTICE").read_text(encoding="utf-8")
    for name in ("all-MiniLM-L6-v2", "Apache License", "WordNet", "Debian"):
        assert name in notice


@pytest.mark.torch
def test_token_vectors_can_be_made_again_from_minilm() -> None:
    """Vectors of unfitted tokens equal, up to rounding, those computed from MiniLM; vectors of fitted tokens resemble them."""
    model = StaticBackbone.open(BUILTIN, "builtin")
    counts = model.tensor("counts")
    rng = np.random.default_rng(0)
    untouched = rng.choice(np.flatnonzero((counts == 0) & model.vectors.any(axis=1)), 200, replace=False)
    fitted = rng.choice(np.flatnonzero(counts > 20), 200, replace=False)
    ids = np.concatenate([untouched, fitted])
    again = mapped_vectors(builtin.teacher_tokens(ids), model.tensor("map"))
    cosines = np.sum(unit(again) * unit(model.vectors[ids]), axis=1)
    assert cosines[:200].min() > 0.999
    assert np.abs(again[:200] - model.vectors[untouched]).max() < 0.01
    assert cosines[200:].mean() > 0.5


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_machine_without_apt_gets_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If Debian's tools are missing, making the model fails with a UserError and exit code 2."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt-get is not on this machine"):
        free_corpora.fetch_wordnet(tmp_path / "work")
    assert builtin.main(["--out", str(tmp_path / "model"), "--work", str(tmp_path / "work")]) == 2
    assert not (tmp_path / "model").exists()


def test_a_description_is_split_into_title_and_running_paragraphs() -> None:
    """Titles and paragraphs are kept once; bullet lists, tables and very short paragraphs are left out."""
    text = (
        "Package: one\nDescription-en: a small tool\n It does one thing and does it well\n for many years.\n .\n"
        " Features:\n  * fast\n .\n Too short.\n\n"
        "Package: two\nDescription-en: a small tool\n - first\n - second\n"
    )
    titles, paragraphs = free_corpora._read_descriptions(text)
    assert titles == ["a small tool"]
    assert paragraphs == ["It does one thing and does it well for many years."]


def test_phrases_are_the_same_for_the_same_seed() -> None:
    """The phrases are sampled with the given generator, so the same seed makes the same texts."""
    words = free_corpora.WordNet(
        [("noun", ["cat"], "a small animal"), ("verb", ["run"], "move fast; hurry")], ["cats run"]
    )
    sentences = [f"a sentence of more than five words, number {i}" for i in range(50)]
    first, second = (free_corpora.phrase_texts(words, sentences, np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert all(2 <= len(text.split()) <= 5 for text in first["cut"])
    assert len(first["asked"]) == 3
