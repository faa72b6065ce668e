"""Write a classifier as one graph, from tokens to log-probabilities, that runs without rung: ONNX or OpenVINO, float32 or int8."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rung.backbones.encoder import EncoderBackbone
from rung.errors import UserError
from rung.estimator.classifier import Classifier
from rung.evidence import Evidence
from rung.intervals import interval
from rung.rungs.linear import Linear, fit_student
from rung.rungs.names import Names
from rung.training.exporting import graphs
from rung.training.exporting.graphs import Exported
from rung.training.provenance import Record, of_rows, parent_of

Floats = npt.NDArray[np.float64]
To = Literal["onnx", "openvino"]
Precision = Literal["float32", "int8"]

MOST_FLIPS = 0.02  # of the texts that an export may answer otherwise
LEAST = 40  # texts, half of them to learn from and half to measure on
_PENALTIES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
_CLOSE = 2e-3  # nats between the graph in float32 and PyTorch
_SAMPLE = [
    "I was charged twice.",
    "The app crashes at start, again and again!",
    "ok",
    "where is my order? it was to be here on Monday",
]
_README = """# {rung} classifier, {to}, {precision}

Labels: {labels}. Made by rung; record.json says from what.

```python
{code}
```

Outputs: `log_probabilities` (n, {k}), natural logarithms, columns as in labels.json; `embedding` (n, {d}), rows of length 1.
"""
_ONNX = """import json
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

facts = json.load(open("labels.json"))
tokenizer, session = Tokenizer.from_file("tokenizer.json"), onnxruntime.InferenceSession("model.onnx")
told = tokenizer.encode_batch([facts["prompt"] + text for text in ["your text", "another"]])
inputs = {"input_ids": [x.ids for x in told], "attention_mask": [x.attention_mask for x in told]}
inputs["token_type_ids"] = [x.type_ids for x in told]
given = {name: np.array(inputs[name], dtype=np.int64) for name in facts["inputs"]}
found = session.run(["log_probabilities"], given)[0]
print([facts["labels"][i] for i in found.argmax(axis=1)])"""
_OPENVINO = (
    _ONNX.replace("import onnxruntime\n", "import openvino\n")
    .replace('onnxruntime.InferenceSession("model.onnx")', 'openvino.compile_model("model.xml", "CPU")')
    .replace('session.run(["log_probabilities"], given)[0]', 'session(given)["log_probabilities"]')
)


@dataclass(frozen=True)
class Head:
    """log softmax(x W + b) on an encoder's unit rows; `exact` where that is what the rung itself computes."""

    weights: Floats
    bias: Floats
    exact: bool


def export(
    clf: Classifier,
    out: str | Path,
    *,
    to: To = "onnx",
    precision: Precision = "float32",
    texts: Sequence[str] | None = None,
    most_flips: float = MOST_FLIPS,
    seed: int = 0,
) -> Record:
    """Write encoder and decision as one graph into the new folder `out`, with tokenizer, labels, and how to run it.

    On the rung names, and of students on an encoder, the decision is computed as it is. Other rungs look at neighbours or mix
    several readings; there one matrix learns to say what they say, from `texts`. int8 needs `texts` too: the ranges of
    activations are taken from them. Half of them are kept apart: on these the export is run anew from its file, and nothing is
    left of it if more than `most_flips` of their labels differ from the classifier's own, or if float32 strays from PyTorch.
    Returns the record (also in record.json): labels kept with their interval, mean and least cosine of embeddings.

    Raises UserError for a backbone that is no sentence encoder, for several labels a text, a tree or reject, for fewer than 40
    texts where they are needed, for too many flips, and if `out` is in use.
    """
    body = _check(clf, Path(out), to, precision, most_flips)
    given = list(dict.fromkeys(text for text in texts or [] if isinstance(text, str) and text.strip()))
    learn, apart = _parts(given, seed)
    head = _head(clf, learn)
    if precision == "int8" and len(given) < LEAST:
        raise UserError(
            "export: int8 needs at least {LEAST} texts, got {n_given}.",
            "Give some of your own: --texts FILE",
            LEAST=LEAST,
            n_given=len(given),
        )
    asked = {"to": to, "precision": precision, "most_flips": most_flips, "seed": seed}
    record = Record("export", parent_of(clf.loaded_backbone) | {"rung": clf.rung_}, {"texts": of_rows(given)}, asked)
    fresh = Path(tempfile.mkdtemp(prefix=f".{Path(out).name}-", dir=Path(out).absolute().parent))
    try:
        facts = graphs.facts(body, clf.classes_.tolist())
        graphs.write(body, head.weights, head.bias, facts, fresh, to=to, precision=precision, texts=learn)
        record.results = _compared(clf, head, Exported.open(fresh), apart or _SAMPLE, precision, most_flips)
        _explain(fresh, clf, facts, to, precision)
        record.write(fresh)
        fresh.chmod(0o755)
        fresh.rename(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return record


def _check(clf: Classifier, out: Path, to: str, precision: str, most_flips: float) -> EncoderBackbone:
    if to not in get_args(To) or precision not in get_args(Precision):
        raise UserError(
            "export: there is no {to} in {precision}.",
            "--to onnx or openvino, --precision float32 or int8",
            to=to,
            precision=precision,
        )
    if not 0 <= most_flips <= 1:
        raise UserError(
            "export: most_flips {most_flips}.", "Give a share from 0 to 1, such as 0.02.", most_flips=most_flips
        )
    if out.exists():
        raise UserError("export: {out} is there already.", "Name a new folder.", out=out)
    if clf.multi_label or clf.knows_numbers_only or clf.reject is not None or clf.parsed_labels().is_tree:
        raise UserError("export: it is for one label out of several, without tree or reject.", "Leave these out.")
    body = clf.loaded_backbone
    if clf.geometry is not None or not isinstance(body, EncoderBackbone):
        raise UserError(
            "export: {body_name} is no sentence encoder.",
            "Static and n-gram models need no export: they run on NumPy alone. Others: a classifier on "
            " --backbone minilm",
            body_name=body.name,
        )
    return body


def _parts(texts: list[str], seed: int) -> tuple[list[str], list[str]]:
    order = np.random.default_rng(seed).permutation(len(texts))
    half = len(texts) // 2
    return [texts[i] for i in order[:half]], [texts[i] for i in order[half:]]


def _head(clf: Classifier, texts: list[str]) -> Head:
    """The decision as one matrix: what the rung computes, or what says the same of the texts."""
    rung = clf.learned.get("learned_", Names())
    if isinstance(rung, Linear):
        return Head(rung.weights_ / rung.temperature_, rung.bias_ / rung.temperature_, True)
    if isinstance(rung, Names):
        return _affine(rung, clf.meaning())
    if len(texts) < LEAST // 2:
        raise UserError(
            "export: the rung {rung} is no plain function of an embedding, and texts to learn one from are missing.",
            "Give at least {LEAST} texts, the more the better:  --texts FILE",
            rung=clf.rung_,
            LEAST=LEAST,
        )
    evidence = clf.evidence(texts)
    return _imitated(
        evidence.features.astype(np.float64), rung.log_posterior(evidence), _affine(Names(), clf.meaning())
    )


def _imitated(rows: Floats, said: Floats, names: Head) -> Head:
    """A matrix near that of the names rung that says what is said of the texts; how near, a fifth of them kept apart tells."""
    apart = np.arange(len(rows)) % 5 == 0

    def kept(penalty: float) -> float:
        W, b = fit_student(rows[~apart], said[~apart], penalty=penalty, around=(names.weights, names.bias))
        return float(((rows[apart] @ W + b).argmax(axis=1) == said[apart].argmax(axis=1)).mean())

    penalty = max(_PENALTIES, key=kept)
    return Head(*fit_student(rows, said, penalty=penalty, around=(names.weights, names.bias)), exact=False)


def _affine(rung: Names, meaning: Evidence) -> Head:
    """The names rung's logits are x·p_k/τ − c r_k/τ: what it says of the zero vector is the second part."""
    temperature = meaning.temperature or rung.temperature
    nothing = meaning.of_texts(np.zeros((1, meaning.anchors.shape[1]), dtype=np.float32), [None])
    return Head(meaning.anchors.T.astype(np.float64) / temperature, rung.log_posterior(nothing)[0], True)


def _compared(
    clf: Classifier, head: Head, made: Exported, texts: list[str], precision: str, most_flips: float
) -> dict[str, Any]:
    """The export as it lies on disk beside the classifier. Raises UserError where it says something else."""
    evidence = clf.evidence(texts)
    embedding, said = made.run(texts)
    logits = evidence.features @ head.weights + head.bias
    wanted = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    gap = float(np.abs(said - wanted).max())
    if precision == "float32" and not gap < _CLOSE:
        raise UserError(
            "export: the graph strays {gap:.2g} nats from PyTorch.", "Nothing was written; please report it.", gap=gap
        )
    own = clf.predict_proba(texts).argmax(axis=1)
    kept = int((said.argmax(axis=1) == own).sum())
    if len(texts) - kept > most_flips * len(texts):
        raise UserError(
            "export: {n_texts} of {n_texts_2} texts kept apart get another label, more than {most_flips:.0%}.",
            "Give more texts, another precision, or allow it:  --most-flips {kept:.2f}",
            n_texts=len(texts) - kept,
            n_texts_2=len(texts),
            most_flips=most_flips,
            kept=1 - kept / len(texts) + 0.005,
        )
    cosines = (embedding * evidence.features).sum(axis=1)
    return {
        "texts": len(texts),
        "labels_kept": {"share": round(kept / len(texts), 4), "interval": list(interval(kept, len(texts)))},
        "cosine": {"mean": round(float(cosines.mean()), 5), "least": round(float(cosines.min()), 5)},
        "largest_gap_nats": round(gap, 5),
        "decision": "exact" if head.exact else "one matrix that learned to say what the rung says",
    }


def _explain(folder: Path, clf: Classifier, facts: dict[str, Any], to: str, precision: str) -> None:
    said = {"rung": clf.rung_, "to": to, "precision": precision, "labels": ", ".join(map(str, facts["labels"][:20]))}
    code = _ONNX if to == "onnx" else _OPENVINO
    page = _README.format(**said, code=code, k=len(facts["labels"]), d=clf.loaded_backbone.dimensions)
    (folder / "README.md").write_text(page, "utf-8")
    (folder / "labels.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", "utf-8")
