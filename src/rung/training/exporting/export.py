"""Export a classifier to run without rung: an encoder as one ONNX or OpenVINO graph, a student as arrays with lines of NumPy."""

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
from rung.backbones.ngram import NgramBackbone
from rung.backbones.static import StaticBackbone
from rung.errors import UserError
from rung.estimator.classifier import Classifier
from rung.evidence import Evidence
from rung.intervals import interval
from rung.rungs.linear import Linear, fit_student
from rung.rungs.names import Names
from rung.training.exporting import graphs, numpy_folder
from rung.training.exporting.graphs import ExportedGraph
from rung.training.exporting.numpy_folder import ExportedStudent
from rung.training.provenance import Record, parent_of, rows_digest
from rung.training.trainer_setup import disk_errors

Floats = npt.NDArray[np.float64]
Format = Literal["onnx", "openvino", "numpy"]
Precision = Literal["float32", "int8"]

MOST_FLIPS = 0.02  # an export may give another label to at most this share of the texts
MIN_TEXTS = 40  # half of them for fitting and calibration, half for the verification
_PENALTIES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
_MAX_GAP_NATS = 2e-3  # between the log-probabilities of the float32 graph and of PyTorch
_SAMPLE_TEXTS = [
    "I was charged twice.",
    "The app crashes at start, again and again!",
    "ok",
    "where is my order? it was to be here on Monday",
]
# What a student is checked with beside these where no texts are given; some say nothing to one student and something to another.
_ODD_TEXTS = [
    "",
    "...",
    ":)",
    "\U0001f600",
    "发票金额不对。",
    "ΑΣ",
    "tab\tnull\x00end",
    "\ufffd.",
    "again and again " * 400,
]
_README = """# {rung} classifier, {to}, {precision}

Labels: {labels}. Made by rung; record.json holds the provenance.

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
encodings = tokenizer.encode_batch([facts["prompt"] + text for text in ["your text", "another"]])
tensors = {"input_ids": [x.ids for x in encodings], "attention_mask": [x.attention_mask for x in encodings]}
tensors["token_type_ids"] = [x.type_ids for x in encodings]
inputs = {name: np.array(tensors[name], dtype=np.int64) for name in facts["inputs"]}
log_probabilities = session.run(["log_probabilities"], inputs)[0]
print([facts["labels"][i] for i in log_probabilities.argmax(axis=1)])"""
_OPENVINO = (
    _ONNX.replace("import onnxruntime\n", "import openvino\n")
    .replace('onnxruntime.InferenceSession("model.onnx")', 'openvino.compile_model("model.xml", "CPU")')
    .replace('session.run(["log_probabilities"], inputs)[0]', 'session(inputs)["log_probabilities"]')
)


@dataclass(frozen=True)
class Head:
    """log softmax(x W + b) on unit embeddings; `exact` if the rung itself computes the same."""

    weights: Floats
    bias: Floats
    exact: bool

    def log_posterior(self, features: npt.NDArray[Any]) -> Floats:
        """log p(label | text), (n, k)."""
        logits = features @ self.weights + self.bias
        return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))

    def at_temperature(self, temperature: float) -> Head:
        """The same labels with probabilities at a temperature that was learned from labels."""
        return Head(self.weights / temperature, self.bias / temperature, self.exact)


@disk_errors("export", resumes=False)
def export(
    clf: Classifier,
    out: str | Path,
    *,
    to: Format | None = None,
    precision: Precision = "float32",
    texts: Sequence[str] | None = None,
    most_flips: float = MOST_FLIPS,
    seed: int = 0,
) -> Record:
    """Write a classifier into the new folder `out`, from texts to log-probabilities; it runs without rung, as its README says.

    A sentence encoder becomes one graph (`to` is "onnx" or "openvino") with its tokenizer. An n-gram or static student, and the
    built-in model, become arrays with a predict.py that needs NumPy alone, and tokenizers where the student is static ("numpy").
    None chooses "onnx" or "numpy", whichever fits.

    For the rung names, and for distilled students, the decision is exported exactly. Other rungs use neighbours or several
    experts; for them a linear head is fitted to their answers on `texts`. int8 needs `texts` too, to calibrate the ranges of
    activations. Half of the texts are held out for the verification: the export is loaded from its file and run on them, and it is
    deleted if more than `most_flips` of their labels differ from the classifier's, or if it does not compute what it should.
    Returns the record (also in record.json): the share of equal labels with its interval, mean and least cosine of embeddings.

    Raises UserError for other backbones, for several labels a text, a tree or reject, for fewer than 40
    texts where they are needed, for too many changed labels, and if `out` is in use or cannot be written.
    """
    out = Path(out)
    to = _check(clf, out, to, precision, most_flips)
    clf = _as_exported(clf)
    given = _readable(clf, texts or [])
    train, held_out = _split(given, seed)
    head = _decision_head(clf, train)
    if precision == "int8" and len(given) < MIN_TEXTS:
        raise UserError(
            "export: int8 needs at least {minimum} texts, got {texts}.",
            "Give some of your own: --texts FILE",
            minimum=MIN_TEXTS,
            texts=len(given),
        )
    asked = {"to": to, "precision": precision, "most_flips": most_flips, "seed": seed}
    parent = parent_of(clf.loaded_backbone) | {"rung": clf.rung_}
    record = Record("export", parent, {"texts": rows_digest(given)}, asked)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
    try:
        _write(clf, head, fresh, to, precision, train)
        made = ExportedStudent.open(fresh) if to == "numpy" else ExportedGraph.open(fresh)
        record.results = _verify(clf, head, made, held_out or _samples(clf, to), precision, most_flips)
        record.write(fresh)
        fresh.chmod(0o755)
        fresh.rename(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return record


def _check(clf: Classifier, out: Path, to: str | None, precision: str, most_flips: float) -> Format:
    """The format, chosen where none is given. Raises UserError for what cannot be exported, or not so."""
    if to not in (None, *get_args(Format)) or precision not in get_args(Precision):
        raise UserError(
            "export: there is no {to} in {precision}.",
            "Choose  --to onnx ,  openvino  or  numpy , and  --precision float32  or  int8",
            to=to or "onnx",
            precision=precision,
        )
    if not 0 <= most_flips <= 1:
        raise UserError(
            "export: most_flips is {most_flips}.", "Give a share from 0 to 1, such as 0.02.", most_flips=most_flips
        )
    if out.exists():
        raise UserError("export: {out} is there already.", "Name a new folder.", out=out)
    parent = out.absolute().parent
    if not parent.is_dir():
        raise UserError("export: there is no folder {parent}.", "mkdir -p {parent}", parent=parent)
    if clf.multi_label or clf.knows_numbers_only or clf.reject is not None or clf.parsed_labels().is_tree:
        raise UserError(
            "export needs a classifier that gives each text one of several labels, without tree or reject.",
            "Leave multi_label, tree and reject out.",
        )
    return _format(clf, to, precision)


def _format(clf: Classifier, to: str | None, precision: str) -> Format:
    backbone = clf.loaded_backbone
    if clf.geometry is not None:
        raise UserError(
            "export: this classifier asks two backbones, {backbone} and, as its geometry, {geometry}.",
            "Export one that was made without geometry.",
            backbone=backbone.name,
            geometry=clf.geometry_backbone.name,
        )
    if not isinstance(backbone, EncoderBackbone | NgramBackbone | StaticBackbone):
        raise UserError(
            "export: {backbone} is no sentence encoder and no n-gram or static student.",
            "Distill it first:  rung distill TEXTS --classifier FOLDER --out student",
            backbone=backbone.name,
        )
    if isinstance(backbone, EncoderBackbone):
        if to == "numpy":
            raise UserError(
                "export: {backbone} is a sentence encoder, which NumPy alone does not run.",
                "Choose  --to onnx  or  openvino , or distill it first:  rung distill TEXTS --classifier FOLDER --out student",
                backbone=backbone.name,
            )
        return "openvino" if to == "openvino" else "onnx"
    if to not in (None, "numpy"):
        raise UserError(
            "export: {backbone} sums vectors of words, which needs no {to}.",
            "Leave --to out, or write  --to numpy",
            backbone=backbone.name,
            to=to,
        )
    if precision != "float32":
        raise UserError(
            "export: --precision {precision} does nothing for {backbone}: its vectors are kept as int8 already.",
            "Leave --precision out.",
            precision=precision,
            backbone=backbone.name,
        )
    return "numpy"


def _as_exported(clf: Classifier) -> Classifier:
    """The classifier, its encoder in float32: a graph is learned from, and verified against, what PyTorch computes in float32."""
    backbone = clf.loaded_backbone
    if not isinstance(backbone, EncoderBackbone):
        return clf
    how = {"engine": "torch", "precision": "float32", "threads": backbone.engine_options.threads}
    return clf.with_backbone(backbone.with_options(how))


def _readable(clf: Classifier, texts: Sequence[str]) -> list[str]:
    """The distinct texts that the classifier can read; of the others no answer can be compared."""
    given = list(dict.fromkeys(text for text in texts if isinstance(text, str) and text.strip()))
    return [text for text, ok in zip(given, clf.evidence(given).ok, strict=True) if ok] if given else []


def _samples(clf: Classifier, to: str) -> list[str]:
    """What an export is checked with where no texts are given."""
    if to != "numpy":
        return _SAMPLE_TEXTS
    return [*_SAMPLE_TEXTS, *map(str, clf.classes_.tolist()), *_ODD_TEXTS]


def _write(clf: Classifier, head: Head, folder: Path, to: str, precision: str, texts: list[str]) -> None:
    """Everything but the record."""
    backbone, labels = clf.loaded_backbone, clf.classes_.tolist()
    if isinstance(backbone, NgramBackbone | StaticBackbone):
        numpy_folder.write(backbone, head.weights, head.bias, labels, clf.rung_, folder)
        return
    assert isinstance(backbone, EncoderBackbone)
    facts = graphs.facts(backbone, labels)
    graphs.write(backbone, head.weights, head.bias, facts, folder, to=to, precision=precision, texts=texts)
    _write_readme(folder, clf, facts, to, precision)


def _split(texts: list[str], seed: int) -> tuple[list[str], list[str]]:
    order = np.random.default_rng(seed).permutation(len(texts))
    half = len(texts) // 2
    return [texts[i] for i in order[:half]], [texts[i] for i in order[half:]]


def _decision_head(clf: Classifier, texts: list[str]) -> Head:
    """The decision as a linear head, at the temperature of `Classifier.calibrate` where it was calibrated."""
    head, calibration = _uncalibrated_head(clf, texts), clf.learned.get("calibration_")
    return head if calibration is None else head.at_temperature(calibration.temperature_.temperature_)


def _uncalibrated_head(clf: Classifier, texts: list[str]) -> Head:
    """The rung's own head where it is linear, else one fitted to its answers on the texts."""
    rung = clf.learned.get("learned_", Names())
    if isinstance(rung, Linear):
        return Head(rung.weights_ / rung.temperature_, rung.bias_ / rung.temperature_, True)
    if isinstance(rung, Names):
        return _names_head(rung, clf.label_evidence())
    if len(texts) < MIN_TEXTS // 2:
        raise UserError(
            "export: the rung {rung} is no linear function of an embedding, and texts to fit one are missing.",
            "Give at least {minimum} texts, the more the better:  --texts FILE",
            rung=clf.rung_,
            minimum=MIN_TEXTS,
        )
    evidence = clf.evidence(texts)
    return _distilled_head(
        evidence.features.astype(np.float64), rung.log_posterior(evidence), _names_head(Names(), clf.label_evidence())
    )


def _distilled_head(rows: Floats, log_posterior: Floats, names: Head) -> Head:
    """A linear head fitted to the rung's answers, regularized towards the names rung; a fifth of the texts chooses the penalty."""
    held_out = np.arange(len(rows)) % 5 == 0

    def agreement(penalty: float) -> float:
        W, b = fit_student(
            rows[~held_out], log_posterior[~held_out], penalty=penalty, around=(names.weights, names.bias)
        )
        return float(((rows[held_out] @ W + b).argmax(axis=1) == log_posterior[held_out].argmax(axis=1)).mean())

    penalty = max(_PENALTIES, key=agreement)
    return Head(*fit_student(rows, log_posterior, penalty=penalty, around=(names.weights, names.bias)), exact=False)


def _names_head(rung: Names, meaning: Evidence) -> Head:
    """The names rung as a linear head. Its logits are x·p_k/τ − c r_k/τ; the zero vector gives the second part, the bias."""
    temperature = meaning.temperature or rung.temperature
    zero = meaning.of_texts(np.zeros((1, meaning.anchors.shape[1]), dtype=np.float32), [None])
    return Head(meaning.anchors.T.astype(np.float64) / temperature, rung.log_posterior(zero)[0], True)


def _verify(
    clf: Classifier,
    head: Head,
    made: ExportedGraph | ExportedStudent,
    texts: list[str],
    precision: str,
    most_flips: float,
) -> dict[str, Any]:
    """Compare the export on disk with the classifier. Raises UserError if its answers differ too much."""
    evidence = clf.evidence(texts)
    if not evidence.ok.any():
        raise UserError(
            "export: {backbone} knows no word of the texts that the export is checked with.",
            "Give texts of your own:  --texts FILE",
            backbone=clf.loaded_backbone.name,
        )
    embedding, log_posterior = made.run(texts)
    gap = float(np.abs(log_posterior - head.log_posterior(evidence.features))[evidence.ok].max())
    if precision == "float32" and not gap < _MAX_GAP_NATS:
        raise UserError(
            "export: the log-probabilities of the export differ by {gap:.2g} nats from the classifier's.",
            "Nothing was written; please report it.",
            gap=gap,
        )
    # a text that says nothing has no label, neither here nor there: NaN in both
    own = np.where(evidence.ok, clf.predict_proba(texts).argmax(axis=1), -1)
    found = np.where(np.isnan(log_posterior).any(axis=1), -1, log_posterior.argmax(axis=1))
    same_label = int((found == own).sum())
    if len(texts) - same_label > most_flips * len(texts):
        raise UserError(
            "export: {flipped} of {texts} held-out texts get another label, more than {most_flips:.0%}.",
            "Give more texts, another precision, or allow it:  --most-flips {allowed:.2f}",
            flipped=len(texts) - same_label,
            texts=len(texts),
            most_flips=most_flips,
            allowed=1 - same_label / len(texts) + 0.005,
        )
    cosines = (embedding * evidence.features).sum(axis=1)[evidence.ok]
    return {
        "texts": len(texts),
        "labels_kept": {"share": round(same_label / len(texts), 4), "interval": list(interval(same_label, len(texts)))},
        "cosine": {"mean": round(float(cosines.mean()), 5), "least": round(float(cosines.min()), 5)},
        "largest_gap_nats": round(gap, 5),
        "decision": "exact" if head.exact else "a linear head fitted to the answers of the rung",
    }


def _write_readme(folder: Path, clf: Classifier, facts: dict[str, Any], to: str, precision: str) -> None:
    facts_of_readme = {
        "rung": clf.rung_,
        "to": to,
        "precision": precision,
        "labels": ", ".join(map(str, facts["labels"][:20])),
    }
    code = _ONNX if to == "onnx" else _OPENVINO
    page = _README.format(**facts_of_readme, code=code, k=len(facts["labels"]), d=clf.loaded_backbone.dimensions)
    (folder / "README.md").write_text(page, "utf-8")
    (folder / "labels.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", "utf-8")
