"""Students as folders of arrays: predict.py gives the classifier's own answers with NumPy (and tokenizers) alone."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rung import Classifier, UserError, distill, export, load
from rung.training.exporting import export as exporting
from rung.training.exporting import numpy_folder
from rung.training.exporting.numpy_folder import ExportedStudent
from rung.training.provenance import Record

THINGS = {
    "billing": ["invoice", "payment", "charge", "price", "发票"],
    "bug report": ["crash", "error", "button", "ΑΣ ΟΔΟΣ", "freeze 😀"],
    "praise": ["thanks", "work", "team", "don't İstanbul", "service"],
}
TEXTS = [
    f"{frame} {thing} {end}"
    for frame, name in (("the price of my", "billing"), ("there is a", "bug report"), ("I love the", "praise"))
    for thing in THINGS[name]
    for end in ["today", "again", "since monday, 1999", "in the shop", "on the site", "please look"]
]
ODD = [
    "",
    " \t\n",
    "...",
    "。。",
    ":)",
    "!?",
    "\u200b\ufeff",
    "\ufffd",
    "\ufffd.",
    "\u3164",
    "\ufdd0",
    "\u0301",
    "é。",
    "发票金额不对。",
    "我的发票 today",
    "ภาษาไทย ราคา",
    "ひらがなカタカナ",
    "😀",
    "😀!",
    "👩‍👩‍👧 family",
    "ΑΣ ΟΔΟΣ",
    "ΑΣ\nΟΔΟΣ!",
    "don't İstanbul",
    "STRASSE ß ẞ",
    "e\u0301te\u0301 cafe\u0301",
    "tab\tnull\x00end\x1b[0m\x85next\u2028line",
    "half a pair \ud83d of the price",
    "\ud83d",
    "[SEP] [UNK] the price </s>",
    "a",
    "7",
    "qqqq zzzz xxxx",
    "under_score and-hyphen_price",
    "the price of my invoice " * 2000,
    "x" * 30000,
    "价格" * 3000,
]


BLOCKS = [
    (0x00, 0x7F),
    (0xA0, 0x24F),
    (0x300, 0x36F),
    (0x400, 0x4FF),
    (0x900, 0xDFF),
    (0x1100, 0x11FF),
    (0x2000, 0x2BFF),
]
BLOCKS += [(0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xD800, 0xE0FF), (0xF900, 0xFFFF), (0x1F300, 0x1FAFF)]


def made_up(n: int) -> list[str]:
    """Distinct texts of one to twelve characters of two scripts, with punctuation of ASCII between them."""
    rng = np.random.default_rng(0)
    found = {}
    while len(found) < n:
        blocks = rng.choice(BLOCKS, 2)
        characters = [chr(rng.integers(*blocks[i % 2])) for i in range(rng.integers(1, 13))]
        found["".join(each if rng.random() < 0.8 else str(rng.choice(list(" .,:)(!"))) for each in characters)] = None
    return list(found)


@pytest.fixture(scope="module")
def teacher() -> Classifier:
    return Classifier(dict.fromkeys(THINGS, ""), backbone="builtin", cache=False).fit(TEXTS)


def compared(clf: Classifier, folder: Path) -> None:
    """Hold the folder to the classifier: the same probabilities and embeddings, and the same texts without a label."""
    texts = [*TEXTS, *ODD, *made_up(1500)]
    embedding, log_probabilities = ExportedStudent.open(folder).run(texts)
    wanted = clf.predict_proba(texts)
    assert np.array_equal(np.isnan(wanted), np.isnan(log_probabilities))
    assert np.nan_to_num(np.exp(log_probabilities)) == pytest.approx(np.nan_to_num(wanted), abs=1e-4)
    known = ~np.isnan(wanted).any(axis=1)
    assert embedding[known] == pytest.approx(clf.evidence(texts).features[known], abs=1e-4)


@pytest.mark.parametrize("student", ["ngram", "static"])
def test_a_student_gives_its_own_probabilities(teacher: Classifier, student: Any, tmp_path: Path) -> None:
    """To a ten-thousandth, on any text: other scripts, emoji, control characters, very long ones, and those that say nothing."""
    clf = distill(teacher, TEXTS, student=student, out=tmp_path / "student")
    record = export(clf, tmp_path / "folder")
    compared(clf, tmp_path / "folder")
    assert record.results["decision"] == "exact"
    assert record.settings["to"] == "numpy"
    assert Record.read(tmp_path / "folder").results == record.results
    wanted = {"arrays.npz", "labels.json", "predict.py", "README.md", "record.json"}
    more = {"tokenizer.json", "NOTICE"} if student == "static" else set()
    assert {each.name for each in (tmp_path / "folder").iterdir()} == wanted | more


def test_the_built_in_model_on_label_names() -> None:
    """The texts of ODD are odd enough: some say nothing, some say something."""
    ok = Classifier(["a", "b"], backbone="builtin", cache=False).evidence(ODD).ok
    assert 5 < ok.sum() < len(ODD) - 5


@pytest.mark.parametrize("backbone", ["ngram", "builtin"])
def test_label_names_are_exported_exactly(teacher: Classifier, backbone: str, tmp_path: Path) -> None:
    """The rung of names on either kind of backbone, its correction of labels that are near to every text included."""
    body = distill(teacher, TEXTS, student="ngram").loaded_backbone if backbone == "ngram" else load("builtin")
    clf = Classifier(list(THINGS), backbone=body, cache=False)
    assert export(clf, tmp_path / "folder").results["decision"] == "exact"
    compared(clf, tmp_path / "folder")


def test_a_calibrated_classifier_keeps_its_temperature(tmp_path: Path) -> None:
    """Probabilities after `calibrate` are those that are exported."""
    clf = Classifier(list(THINGS), backbone="builtin", cache=False)
    before = clf.predict_proba(TEXTS)
    clf.calibrate(TEXTS, np.repeat(list(THINGS), 30)[::-1])
    assert np.abs(clf.predict_proba(TEXTS) - before).max() > 0.01
    export(clf, tmp_path / "folder")
    compared(clf, tmp_path / "folder")


def test_other_rungs_are_fitted_on_texts(teacher: Classifier, tmp_path: Path) -> None:
    """The rung pool is not linear: it needs texts, and the record says how often the labels agree on half of them."""
    with pytest.raises(UserError, match="texts to fit one are missing"):
        export(teacher, tmp_path / "folder")
    record = export(teacher, tmp_path / "folder", texts=[*TEXTS, "...", "\u200b"], most_flips=0.3)
    assert record.results["decision"].startswith("a linear head")
    assert (record.results["labels_kept"]["share"] >= 0.7, record.results["texts"]) == (True, len(TEXTS) // 2)
    found = ExportedStudent.open(tmp_path / "folder").run(TEXTS)[1].argmax(axis=1)
    assert (found == teacher.predict_proba(TEXTS).argmax(axis=1)).mean() >= 0.7


LABELS: dict[str, list[Any]] = {"ngram": [0, 1, 10], "static": ["账单", "bug", "praise"]}


@pytest.mark.parametrize("student", ["ngram", "static"])
def test_it_runs_without_rung(student: Any, tmp_path: Path) -> None:
    """predict.py and the lines of the README run where no other package than these is found; labels keep their type."""
    names = LABELS[student]
    teacher = Classifier(
        {name: {"description": thing[0]} for name, thing in zip(names, THINGS.values(), strict=True)},
        backbone="builtin",
        cache=False,
    )
    clf = distill(teacher, TEXTS, student=student)
    export(clf, tmp_path / "folder")
    allowed = {"numpy", "tokenizers"} if student == "static" else {"numpy"}
    refuse = f"""
import sys
from importlib.machinery import PathFinder

class Refuse:
    def find_spec(self, name, path=None, target=None):
        found = PathFinder.find_spec(name, path)
        if found and "site-packages" in str(found.origin) and name.split(".")[0] not in {allowed | {"huggingface_hub"}}:
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
sys.path[:] = [""] + [each for each in sys.path if not each.endswith("src")]
"""
    page = (tmp_path / "folder" / "README.md").read_text("utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    ran = run(["-c", refuse + code[1] + "\nassert 'rung' not in sys.modules"], tmp_path / "folder")
    assert ran == str(clf.predict(["your text", "another"]).tolist())
    texts = ["the price of my 发票 today", "...", "\U0001f600 I love the team"]
    said = [line.split("\t") for line in run(["folder/predict.py", *texts], tmp_path, "ascii").splitlines()]
    assert [label for label, _ in said] == [str(label) for label in clf.predict(texts).tolist()]
    assert said[1] == ["None", "None"]
    assert float(said[0][1]) == pytest.approx(clf.predict_proba(texts)[0].max(), abs=1e-4)
    assert json.loads((tmp_path / "folder" / "labels.json").read_text("utf-8"))["labels"] == clf.classes_.tolist()


def run(arguments: list[str], folder: Path, encoding: str = "utf-8") -> str:
    """What a fresh Python prints, in `folder`, where the terminal's encoding is this one."""
    told = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, env=told)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode("utf-8").strip()


@pytest.mark.parametrize("student", ["ngram", "static"])
def test_predict_py_is_short(teacher: Classifier, student: Any, tmp_path: Path) -> None:
    """A person reads it in a minute: no longer than a page, and its arrays hold no pickle."""
    clf = distill(teacher, TEXTS, student=student) if student == "ngram" else teacher
    export(clf, tmp_path / "folder", texts=TEXTS, most_flips=1.0)
    lines = (tmp_path / "folder" / "predict.py").read_text("utf-8").splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith(("#", '"""', "import", "from"))]
    assert len(code) <= 75
    assert max(map(len, lines)) <= 132
    with np.load(tmp_path / "folder" / "arrays.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "if" for name in arrays.files)


def test_a_folder_that_differs_is_not_kept(
    teacher: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verification runs the file: another hash in predict.py, or another label, and nothing is left."""
    clf = distill(teacher, TEXTS, student="ngram")
    with monkeypatch.context() as patched:
        patched.setattr(numpy_folder, "_NGRAM", numpy_folder._NGRAM.replace("range(2, 6)", "range(2, 5)"))
        with pytest.raises(UserError, match="differ by"):
            export(clf, tmp_path / "folder")
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "fit_student", lambda rows, *_, **__: (np.zeros((rows.shape[1], 3)), np.zeros(3)))
        with pytest.raises(UserError, match="get another label"):
            export(teacher, tmp_path / "folder", texts=TEXTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"to": "openvino"}, "which needs no openvino"),
        ({"to": "onnx"}, "which needs no onnx"),
        ({"precision": "int8"}, "--precision int8 does nothing"),
        ({"to": "coreml"}, "there is no coreml"),
    ],
)
def test_options_that_do_nothing_are_refused(
    teacher: Classifier, how: dict[str, Any], match: str, tmp_path: Path
) -> None:
    """In two lines, before any text is read, and nothing is written."""
    with pytest.raises(UserError, match=match) as caught:
        export(teacher, tmp_path / "folder", **how)
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """A folder in a folder that is not there, in two lines that name it."""
    with pytest.raises(UserError, match=r"there is no folder .*nowhere\.\n  mkdir -p .*nowhere"):
        export(Classifier(["a", "b"], backbone="builtin", cache=False), tmp_path / "nowhere" / "folder")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_full_disk_is_told(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says of the disk, in two lines; nothing is left."""

    def refused(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", refused)
        with pytest.raises(UserError, match=rf"export: .*: {os.strerror(code)}\.\n  Free some space.*type the same"):
            export(Classifier(["a", "b"], backbone="builtin", cache=False), tmp_path / "folder")
    assert not list(tmp_path.iterdir())


def test_a_student_that_knows_no_word_of_the_samples(teacher: Classifier, tmp_path: Path) -> None:
    """It is not exported unchecked: it asks for texts, and with texts it is."""
    body = distill(teacher, TEXTS, student="ngram").loaded_backbone
    clf = Classifier(list(THINGS), backbone=body, cache=False)
    clf.loaded_backbone.__dict__["_places"] = np.full(1 << 18, len(body._weights) - 1, dtype=np.int32)
    with pytest.raises(UserError, match=r"knows no word .*\n  Give texts of your own:  --texts FILE"):
        export(clf, tmp_path / "folder")
