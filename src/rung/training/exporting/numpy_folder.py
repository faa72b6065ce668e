"""Write an n-gram or static student as arrays with a predict.py that needs NumPy (and tokenizers for static), and run it."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rung.backbones.ngram import NgramBackbone
from rung.backbones.static import StaticBackbone

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Student = NgramBackbone | StaticBackbone

# The code of predict.py. It repeats, in as few lines as can be read, what rung.backbones.ngram, rung.backbones.static and
# rung.evidence.text_faults compute; the export is compared with them before it is kept.
_START = '''"""Label texts without rung:  python predict.py "a text" "another" """

import json
import re
import sys
import unicodedata
IMPORT

FOLDER = Path(__file__).parent
LABELS = json.loads((FOLDER / "labels.json").read_text("utf-8"))["labels"]
with np.load(FOLDER / "arrays.npz", allow_pickle=False) as arrays:
    ARRAYS = dict(arrays)
VECTORS = ARRAYS["vectors"] * ARRAYS["scales"][:, None]
'''
_NGRAM_IMPORT = "from functools import lru_cache\nfrom pathlib import Path\n\nimport numpy as np"
_STATIC_IMPORT = "from pathlib import Path\n\nimport numpy as np\nfrom tokenizers import Tokenizer"
_NGRAM = r'''UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
A, B, C = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)


def mixed(hashes):  # the finalizer of MurmurHash3, variant 13 of Stafford
    hashes = (hashes ^ (hashes >> np.uint64(30))) * B
    hashes = (hashes ^ (hashes >> np.uint64(27))) * C
    return hashes ^ (hashes >> np.uint64(31))


@lru_cache(1 << 16)
def hashes_of(word):
    """The hash of a word, then those of its pieces of 3 to 5 characters, its two ends marked by 2 and 3."""
    marked = np.array([2, *map(ord, word), 3], dtype=np.uint64)
    at = np.arange(len(marked), dtype=np.uint64)
    found, rolling = [mixed(mixed(marked * A + at * B).sum(keepdims=True))], marked
    for n in range(2, 6):
        rolling = rolling[:-1] * A + marked[n - 1 :]
        found += [mixed(rolling ^ np.uint64(n))] if n >= 3 else []
    return np.concatenate(found)


def rows_of(text):
    """The rows of VECTORS of a text's words, pieces of words and pairs of words."""
    words = re.findall(r"[0-9a-z'\x80-\U0010ffff]+", UNSPACED.sub(r" \1 ", text.lower()))
    if not words:
        return np.zeros(0, dtype=np.int64)
    hashes = [hashes_of(word) for word in words]
    whole = np.array([each[0] for each in hashes])
    pairs = mixed(whole[:-1] * B + whole[1:] * C)
    return ARRAYS["places"][np.concatenate([*hashes, pairs]) >> np.uint64(64 - 18)]


def features(total, n):
    """The sum of n rows as a row of length 1: cut to the radius, and one more dimension for what is left."""
    inner = total / np.sqrt(n) / ARRAYS["radius"]
    length = np.linalg.norm(inner)
    return np.append(inner / max(length, 1), np.sqrt(max(1 - length**2, 0)))
'''
_STATIC = '''TOKENIZER = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
TOKENIZER.encode_special_tokens = True  # "[SEP]" in a text is text


def rows_of(text):
    """The rows of VECTORS of a text's tokens."""
    return np.array(TOKENIZER.encode(text, add_special_tokens=False).ids, dtype=np.int64)


def features(total, n):
    """The direction of a sum of rows."""
    return total / np.linalg.norm(total)
'''
_DECISION = r'''TELLING = re.compile(r"[A-Za-z0-9]|[:;].?[()\[\]{}/\\|*]|[()\[\]{}/\\|*].?[:;]")  # letters, digits, emoticons
BLANK = "\u115f\u1160\u3164\uffa0\u2800"


def is_seen(character):
    category, code = unicodedata.category(character), ord(character)
    if category in ("Co", "Cn"):
        return not 0xFDD0 <= code <= 0xFDEF and code & 0xFFFE != 0xFFFE
    return category[0] not in "CZM" and character not in BLANK


def summed(text):
    """The sum of a text's rows of VECTORS (r,), and how many they are."""
    rows = rows_of(text.encode("utf-8", "replace").decode("utf-8"))
    distinct, counts = np.unique(rows, return_counts=True)
    return counts @ VECTORS[distinct], len(rows)


def embed(text):
    """Features (d,), or None for a text that says nothing: nothing to be seen, punctuation alone, no word that is known."""
    told = text if TELLING.search(text) else "".join(c for c in text if unicodedata.category(c)[0] != "P")
    if not any(map(is_seen, set(told))) or set(filter(is_seen, set(text))) == {"\ufffd"}:
        return None
    total, n = summed(text)
    known = total.any() and (told is text or summed(told)[0].any())
    return features(total, n) if known else None


def log_probabilities(text):
    """Natural logarithms (k,), in the order of labels.json, or None for a text that says nothing."""
    x = embed(text)
    if x is None:
        return None
    logits = x @ ARRAYS["weights"] + ARRAYS["bias"]
    return logits - np.logaddexp.reduce(logits)


def predict(text):
    """The label and its probability, or (None, None) for a text that says nothing."""
    found = log_probabilities(text)
    return (None, None) if found is None else (LABELS[found.argmax()], float(np.exp(found.max())))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    for each in sys.argv[1:]:
        print(*predict(each), sep="\t")
'''
_README = """# {rung} classifier, {kind}

Labels: {labels}. Made by rung; record.json holds the provenance. It needs Python and these packages:  pip install {needs}

    python predict.py "your text" "another"

prints the label of each text and its probability. In Python, from this folder:

```python
from predict import predict

print([predict(text)[0] for text in ["your text", "another"]])
```

A text that says nothing (empty, only punctuation, no word that the model knows) gets no label: predict gives `(None, None)`.
`log_probabilities(text)` gives natural logarithms ({k},) in the order of labels.json, `embed(text)` a row ({d},) of length 1.
arrays.npz holds the vectors as int8 with a scale each, and the decision (weights, bias) as float64.
"""


@dataclass(frozen=True)
class ExportedStudent:
    """An exported folder, run by the code of its own predict.py."""

    embed: Callable[[str], Floats | None]
    log_probabilities: Callable[[str], Floats | None]
    dimensions: int
    labels: int

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Run predict.py as a module. It is code that this file wrote."""
        found = runpy.run_path(str(folder / "predict.py"), run_name="predict")
        return cls(found["embed"], found["log_probabilities"], *found["ARRAYS"]["weights"].shape)

    def run(self, texts: list[str]) -> tuple[Array, Floats]:
        """Embeddings (n, d) and log-probabilities (n, k) of texts; rows of NaN for texts that say nothing."""
        return (
            _stacked([self.embed(text) for text in texts], self.dimensions).astype(np.float32),
            _stacked([self.log_probabilities(text) for text in texts], self.labels),
        )


def write(backbone: Student, weights: Floats, bias: Floats, labels: list[Any], rung_: str, folder: Path) -> None:
    """Write arrays, tokenizer, labels, predict.py and README into `folder`: everything but the record."""
    arrays: dict[str, Any] = {**backbone.summed_arrays(), "weights": weights, "bias": bias}
    np.savez(folder / "arrays.npz", **arrays)
    if isinstance(backbone, StaticBackbone):
        (folder / "tokenizer.json").write_text(backbone.tokenizer.to_str(), "utf-8")
    if (backbone.folder / "NOTICE").is_file():
        shutil.copyfile(backbone.folder / "NOTICE", folder / "NOTICE")
    (folder / "labels.json").write_text(json.dumps({"labels": labels}, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / "predict.py").write_text(_code(backbone), "utf-8")
    (folder / "README.md").write_text(_readme(backbone, weights.shape, labels, rung_), "utf-8")


def _code(backbone: Student) -> str:
    """The content of predict.py."""
    if isinstance(backbone, StaticBackbone):
        return "\n".join([_START.replace("IMPORT", _STATIC_IMPORT) + _STATIC, "", _DECISION])
    return "\n".join([_START.replace("IMPORT", _NGRAM_IMPORT) + _NGRAM, "", _DECISION])


def _readme(backbone: Student, shape: tuple[int, ...], labels: list[Any], rung_: str) -> str:
    is_static = isinstance(backbone, StaticBackbone)
    return _README.format(
        rung=rung_,
        kind="token vectors" if is_static else "hashed n-grams",
        needs="numpy tokenizers" if is_static else "numpy",
        labels=", ".join(map(str, labels[:20])),
        d=shape[0],
        k=shape[1],
    )


def _stacked(rows: list[Floats | None], width: int) -> Floats:
    """Rows (n, width), NaN where there is none."""
    return np.array([np.full(width, np.nan) if row is None else row for row in rows]).reshape(len(rows), width)
