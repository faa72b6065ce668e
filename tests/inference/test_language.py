"""Languages: a backbone that does not read texts or labels is never asked without a word, and nobody is warned for nothing."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from rung import Classifier, load
from rung.backbones.catalog import catalog, entry_of, knows
from rung.inference.language import (
    LanguageWarning,
    label_warning,
    language_of,
    language_warnings,
    reads,
    sample,
    warning,
)
from rung.inference.second_opinion import second_opinion
from rung.labels import Labels

TEXTS = {
    "en": [
        "The delivery was late and the box was damaged.",
        "Where is my refund?",
        "I love this phone",
        "cancel it please",
    ],
    "de": [
        "Das Paket kam zu spät und beschädigt.",
        "Wo bleibt meine Rückerstattung?",
        "Ich liebe dieses Handy",
        "Bitte kündigen",
    ],
    "fr": [
        "Le colis est arrivé en retard.",
        "Où est mon remboursement ?",
        "J'adore ce téléphone",
        "Veuillez résilier mon contrat",
    ],
    "ru": [
        "Посылка пришла поздно и повреждена.",
        "Когда вернут деньги?",
        "Обожаю этот телефон",
        "Отличный товар, рекомендую",
    ],
    "ar": ["وصل الطرد متأخرا وكان تالفا", "أين أموالي المستردة؟", "أحب هذا الهاتف", "الرجاء إلغاء اشتراكي"],
    "tr": [
        "Paket geç geldi ve hasarlıydı.",
        "Param ne zaman iade edilecek?",
        "Bu telefonu çok seviyorum",
        "Harika ürün",
    ],
    "pl": [
        "Paczka przyszła spóźniona i uszkodzona.",
        "Gdzie są moje pieniądze?",
        "Świetny produkt, polecam",
        "Proszę o zwrot",
    ],
    "vi": [
        "Gói hàng đến muộn và bị hỏng.",
        "Tiền hoàn lại của tôi đâu?",
        "Tôi rất thích điện thoại này",
        "Vui lòng hủy",
    ],
    "zh": ["包裹来晚了而且破损了", "我的退款在哪里？", "我很喜欢这部手机", "请取消我的订阅"],
    "ja": ["荷物が遅れて届きました。", "返金はどうなりましたか？", "この携帯が大好きです", "解約してください"],
    "ko": [
        "택배가 늦게 왔고 파손되었습니다.",
        "환불은 언제 되나요?",
        "이 휴대폰이 정말 좋아요",
        "구독을 취소해 주세요",
    ],
    "th": ["พัสดุมาช้าและเสียหาย", "เงินคืนของฉันอยู่ที่ไหน", "ฉันชอบโทรศัพท์เครื่องนี้มาก", "กรุณายกเลิก"],
}
NO_ALARM = {
    "chat": [
        "lol u r gr8 m8",
        "omg thx sm",
        "idk tbh",
        "pls fix asap",
        "nah",
        "c u tmrw",
        "Ok lor... sounds cool",
        "wtf smh",
    ],
    "emoji": ["👍", "😡😡😡", "🎉 party 🎉", "❤️❤️", "🙃 ok", "👎🏽"],
    "links": [
        "https://www.firma.de/produkte/neu",
        "see https://de.wikipedia.org/wiki/Berlin",
        "info@firma.de",
        "@käthe #müde",
    ],
    "codes": [
        "REF-2231-X",
        "SKU 00123",
        "A1B2C3",
        "USB-C to HDMI 2m",
        "INV/2024/001",
        "0xDEADBEEF",
        "v1.2.3-rc1",
        "404",
    ],
    "code": ["int main() { return 0; }", "for i in range(10): print(i)", "SELECT * FROM users;", "import numpy as np"],
    "capitals": ["WHERE IS MY ORDER", "REFUND NOW", "WORST APP EVER", "CALL ME BACK ASAP"],
    "names": ["Anna Schmidt", "José García", "Giovanni Rossi", "Pierre Dupont", "Lars Nielsen", "Yamamoto Kenji"],
    "products": [
        "Samsung Galaxy S21 Ultra 5G",
        "IKEA BILLY",
        "GTX 1080 Ti 8GB",
        "Nespresso Vertuo Plus",
        "iPhone 13 Pro",
    ],
    "words": ["refund", "no", "yes", "bad", "good", "invoice", "login", "card lost", "pin", "hello", "spam", "broken"],
}
ENGLISH = Labels.parse(["billing", "bug report", "praise"])
LABELS = {
    "zh": ["正面", "负面"],
    "ru": ["положительный", "отрицательный"],
    "de": {"Rechnung": "Fragen zu Zahlungen", "Lob": "zufriedene Kunden"},
}
ENGLISH_SETS = ["ag_news", "banking77", "clinc150", "sms_spam", "sst2", "trec", "tweeteval_emotion", "tweeteval_hate"]


@pytest.mark.parametrize("code", TEXTS)
def test_the_language_is_found(code: str) -> None:
    """Most short texts of a language are told to be in it, and none to be in another."""
    found = [language_of(text) for text in TEXTS[code]]
    assert set(found) <= {code, None}
    assert found.count(code) >= 3


@pytest.mark.parametrize("code", [code for code in TEXTS if code != "en"])
def test_a_language_that_is_not_read_is_named(code: str) -> None:
    """The warning says which language, and a model that reads it together with the English labels."""
    said = str(warning(TEXTS[code], ENGLISH, load("builtin")))
    assert "which builtin does not read" in said
    assert "multilingual-e5-small" in said
    assert not reads(TEXTS[code], load("builtin"))


def test_the_message_says_what_to_do() -> None:
    """Two lines: the language and what it costs; a model that reads it, and whether it is here."""
    what, hint = str(warning(TEXTS["de"], ENGLISH, load("builtin"))).splitlines()
    assert what == "the texts look German, which builtin does not read: their labels are close to chance."
    assert hint.startswith("  Choose a backbone that reads it:  multilingual-e5-small   (")


@pytest.mark.parametrize("kind", NO_ALARM)
def test_no_alarm_for_what_is_no_language(kind: str) -> None:
    """Chat, emoji, links, codes, names: alone, and among English texts, nothing is warned of."""
    for texts in (NO_ALARM[kind], [*TEXTS["en"], *NO_ALARM[kind]]):
        assert language_warnings(texts, ENGLISH, load("builtin")) == []


def test_a_mixed_file_says_the_share() -> None:
    """The share of the texts in a language, and of several together."""
    english = [f"{text} {i}" for text in TEXTS["en"] for i in range(20)]
    german = [f"{text} {i}" for text in TEXTS["de"] for i in range(9)]
    assert str(warning([*english, *german], ENGLISH, load("builtin"))).startswith(
        "31% of the texts look German, which builtin"
    )
    said = str(warning([*english, *german, *TEXTS["ru"] * 8], ENGLISH, load("builtin")))
    assert "are in languages that builtin does not read (German, Russian)" in said


def test_a_few_foreign_texts_are_no_alarm() -> None:
    """Under one text in twenty is not worth a word."""
    english = [f"{text} {i}" for text in TEXTS["en"] for i in range(40)]
    assert warning([*english, *TEXTS["de"]], ENGLISH, load("builtin")) is None


def test_the_sample_does_not_depend_on_the_order() -> None:
    """Texts are drawn by their hashes, from all rows, each once; a sample of samples is that of all."""
    texts = [f"text {i}" for i in range(3000)]
    drawn = sample(texts)
    assert len(drawn) == 500
    assert drawn == sample(texts[::-1]) == sample([*sample(texts[:1000]), *texts[1000:], *texts])
    assert not {*drawn} <= {*texts[:1500]}
    assert sample([None, "", "...", 3, "a"]) == ["a"]


def test_foreign_rows_behind_the_first_are_found() -> None:
    """A file that begins in English and goes on in Turkish is not judged by its first rows."""
    texts = [f"I want my money back {i}" for i in range(600)] + [
        f"Paket geç geldi ve hasarlıydı {i}" for i in range(600)
    ]
    with pytest.warns(LanguageWarning, match="look Turkish"):
        Classifier(["billing", "bug report"], backbone="builtin", cache=False).fit(texts)


@pytest.mark.parametrize("language", LABELS)
def test_labels_are_read_too(language: str) -> None:
    """Labels in a language that the backbone does not read are warned of, whatever the texts are in."""
    labels = Labels.parse(LABELS[language])
    assert "the labels look" in str(label_warning(labels, load("builtin")))
    with pytest.warns(LanguageWarning, match="the labels look"):
        Classifier(LABELS[language], backbone="builtin", cache=False).fit(TEXTS["en"])


@pytest.mark.parametrize(
    "names", ["positive negative", "spam ham", "yes no", "A+ A-", "C C++ C#", "0 1", "urgent normal low"]
)
def test_short_english_labels_are_no_alarm(names: str) -> None:
    """A few short names are not enough to say that they are foreign."""
    assert label_warning(Labels.parse(names.split()), load("builtin")) is None


def test_a_model_is_named_that_reads_texts_and_labels() -> None:
    """Chinese labels for Chinese texts need a Chinese model only; with English labels both must be read."""
    assert "bge-small-zh " in str(warning(TEXTS["zh"], Labels.parse(LABELS["zh"]), load("builtin")))
    assert "multilingual-e5-small " in str(warning(TEXTS["zh"], ENGLISH, load("builtin")))


def test_fit_warns_once_and_predict_never() -> None:
    """One warning a fit, with one label or several; none at each answer, and none for English."""
    for parameters in ({}, {"multi_label": True}):
        clf = Classifier(["billing", "praise"], backbone="builtin", cache=False, **parameters)
        with pytest.warns(LanguageWarning, match="look German") as met:
            clf.fit(TEXTS["de"])
        assert len(met) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            clf.predict(TEXTS["fr"])
            clf.fit(TEXTS["en"])


def test_the_second_opinion_is_not_asked_in_a_language_it_does_not_read() -> None:
    """The built-in model has no say about German texts, though it knows all of their tokens."""

    class Costly:
        input, costly = "text", True

    backbone: Any = Costly()
    assert second_opinion(ENGLISH, TEXTS["de"], backbone) is None
    assert second_opinion(ENGLISH, TEXTS["en"], backbone) is not None


@pytest.mark.torch
def test_a_model_of_which_nothing_is_known_is_judged_by_its_tokens(tiny_encoder: Path) -> None:
    """A folder names no languages: it is warned of those whose tokens it does not know, and of no other."""
    tiny = load(str(tiny_encoder))
    assert entry_of(tiny) is None
    assert "look Chinese" in str(warning(TEXTS["zh"], ENGLISH, tiny))
    assert warning(["wo bleibt meine lieferung denn nur", "das paket kam zu spat und kaputt"], ENGLISH, tiny) is None


def test_the_catalog_lists_languages() -> None:
    """Every model names what it reads, by two letters; many languages are no word for all."""
    codes = {code for entry in catalog().values() for code in entry.languages}
    assert all(len(code) == 2 or code == "*" for code in codes)
    assert "multilingual-e5-small" in {entry.name for entry in knows("de", "zh", "en")}
    assert [entry.name for entry in knows("zz")] == []


def test_no_socket_is_opened() -> None:
    """The detector carries its model: it works where no socket can be made at all."""
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise OSError('no sockets here')\n"
        "socket.socket = refuse\n"
        "from rung.inference.language import language_of\n"
        "print(language_of('Das Paket kam zu spät.'))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "de"


def test_it_is_loaded_when_it_is_needed() -> None:
    """Answering from names, and `rung --help`, do not load the detector."""
    code = (
        "import sys\nfrom rung import Classifier\n"
        "Classifier(['good', 'bad'], backbone='builtin').predict(['fine'])\nprint('py3langid' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


@pytest.mark.shared
@pytest.mark.parametrize("name", ENGLISH_SETS)
def test_no_english_set_raises_an_alarm(name: str, shared: Path) -> None:
    """Reviews, chat, questions and tweets in English, with their labels: as a whole, and in parts of twenty."""
    texts = _column(shared / name / "test.csv", "text")
    labels = Labels.parse({row["name"]: row["description"] for row in _rows(shared / name / "labels.csv")})
    assert language_warnings(sample(texts), labels, load("builtin")) == []
    for start in range(0, 500, 20):
        assert warning(texts[start : start + 20], labels, load("builtin")) is None, start


@pytest.mark.shared
@pytest.mark.parametrize("name", ["chnsenticorp_htl", "waimai_10k", "thucnews"])
def test_chinese_sets_raise_it(name: str, shared: Path) -> None:
    """Reviews and titles: as a whole, and any twenty of them."""
    texts = _column(shared / name / "test.csv", "text")
    for those in (sample(texts), texts[:20], texts[-20:]):
        assert "look Chinese" in str(warning(those, ENGLISH, load("builtin")))


@pytest.mark.shared
def test_captions_of_four_languages(shared: Path) -> None:
    """The same captions in German, French and Czech are warned of, those in English are not; old Chinese is Chinese."""
    lines = (shared / "multi30k" / "test.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for code, name in (("de", "German"), ("fr", "French"), ("cs", "Czech")):
        assert f"the texts look {name}" in str(warning(sample(row[code] for row in rows), ENGLISH, load("builtin")))
    assert warning(sample(row["en"] for row in rows), ENGLISH, load("builtin")) is None
    old = (shared / "classical_chinese" / "corpus.txt").read_text("utf-8").splitlines()
    assert "look Chinese" in str(warning(sample(old), ENGLISH, load("builtin")))


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _column(file: Path, name: str) -> list[str]:
    return [row[name] for row in _rows(file)]
