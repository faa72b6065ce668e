"""Which languages texts and labels are in, and whether a backbone reads them; told from a sample, without a network."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from heapq import nsmallest
from typing import Any
from zlib import crc32

from rung.backbones.catalog import ANY, Entry, entry_of, knows
from rung.backbones.loading import is_here
from rung.evidence import Backbone, reads_images
from rung.evidence.text_faults import fault
from rung.inference.language_names import name_of
from rung.labels import Labels
from rung.messages import Localized, tr

SAMPLE = 500  # texts that are looked at
_CHARACTERS = 1000  # of each text that are looked at
_SURE = 0.5  # how sure the language of a text must be: on English texts, one in a thousand is then taken for another
_VERY_SURE = 0.8  # how sure it must be where a single text is in a language
_MIN_SHARE = 0.05  # share of the texts from which a language that is not read is reported
_MAX_UNREAD_SHARE = 0.15  # share of texts in unread languages from which a backbone is not used on any of the texts
_MAX_UNKNOWN_TOKENS = 0.15  # share of unknown tokens; in a language that a model was trained on it is under 1 %
_NO_LANGUAGE = re.compile(r"https?://\S+|www\.\S+|[@#]\S+|\S+@\S+")
# Dialects and older forms that are read like the language they belong to; "zxx" is none: numbers, codes.
_ALIASES = {"pcm": "en", "wuu": "zh", "yue": "zh", "nn": "no", "arz": "ar", "ary": "ar", "ext": "es", "zxx": None}


class LanguageWarning(UserWarning):
    """The backbone does not read the language of texts or labels, so that answers are close to chance."""


def warn_of_language(texts: Iterable[object], labels: Labels, *backbones: Backbone) -> None:
    """Warn where one of the backbones does not read the texts or the labels of a fit."""
    for found in language_warnings(sample(texts), labels, *backbones):
        warnings.warn(found, LanguageWarning, stacklevel=4)


@contextmanager
def without_language_warnings() -> Iterator[None]:
    """No `LanguageWarning` inside: for fits on texts about which the person is warned elsewhere, and once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LanguageWarning)
        yield


def language_warnings(texts: Sequence[str], labels: Labels, *backbones: Backbone) -> list[str]:
    """What a person should know where one of the backbones does not read a sample of texts, or the labels."""
    distinct = {backbone.fingerprint: backbone for backbone in backbones if not reads_images(backbone)}.values()
    found = (say for each in distinct for say in (warning(texts, labels, each), label_warning(labels, each)))
    return [each for each in found if each is not None]


def warning(texts: Sequence[str], labels: Labels, backbone: Backbone) -> str | None:
    """What a person should know where `backbone` does not read a sample of texts, and which one does; else None."""
    found = _by_language(texts)
    strange = {code: share for code, share in found.shares.items() if not _reads(code, found.texts[code], backbone)}
    if not strange:
        return None
    (largest, share), *others = strange.items()
    total = sum(strange.values())
    if others:
        what = tr(
            "{share:.0%} of the texts are in languages that {backbone} does not read ({languages}): "
            "their labels are close to chance.",
            share=total,
            backbone=backbone.name,
            languages=", ".join(map(name_of, strange)),
        )
    elif total > 1 / 2 and len(found.shares) == 1:
        what = tr(
            "the texts look {language}, which {backbone} does not read: their labels are close to chance.",
            language=name_of(largest),
            backbone=backbone.name,
        )
    else:
        what = tr(
            "{share:.0%} of the texts look {language}, which {backbone} does not read: their labels are close to chance.",
            share=share,
            language=name_of(largest),
            backbone=backbone.name,
        )
    return f"{what}\n  {_hint({*found.shares, *_languages_of_labels(labels)})}"


def label_warning(labels: Labels, backbone: Backbone) -> str | None:
    """What a person should know where `backbone` does not read the labels, and which one does; else None."""
    found = _languages_of_labels(labels)
    strange = [each for each in found if not _reads(each, [_wording(labels)], backbone)]
    if not strange:
        return None
    what = tr(
        "the labels look {language}, which {backbone} does not read: answers are close to chance.",
        language=name_of(strange[0]),
        backbone=backbone.name,
    )
    return f"{what}\n  {_hint(set(found))}"


def reads(texts: Iterable[object], backbone: Backbone) -> bool:
    """Whether the backbone reads the language of most of these texts."""
    found = _by_language(sample(texts))
    strange = (share for code, share in found.shares.items() if not _reads(code, found.texts[code], backbone))
    return sum(strange) < _MAX_UNREAD_SHARE


def sample(texts: Iterable[object], size: int = SAMPLE) -> list[str]:
    """At most `size` distinct texts that can be read: those of the smallest hashes, whatever their order.

    A sample of samples is the sample of all, so that it can be taken in parts.
    """
    return nsmallest(size, {text for text in texts if isinstance(text, str) and fault(text) is None}, key=_key)


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of a text's language, or None where it cannot be told.

    >>> language_of("Das Paket kam zu spät."), language_of("SKU 00123")
    ('de', None)
    """
    return _detected(text, _SURE)


def _key(text: str) -> tuple[int, str]:
    return crc32(text.encode("utf-8", "surrogatepass")), text


def _detected(text: str, sure: float) -> str | None:
    written = _NO_LANGUAGE.sub(" ", text[:_CHARACTERS])
    scores: Counter[str | None] = Counter()
    for code, score in _identifier().rank(written)[:8]:
        scores[_ALIASES.get(code, code)] += score
    best, score = scores.most_common(1)[0]
    return best if score >= sure else None


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """A naive Bayes classifier of 140 languages over byte n-grams: Python and NumPy alone, its model in the package."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@dataclass(frozen=True)
class _LanguageShares:
    """The texts of each language, and its share of all texts where it is large enough to report, the largest first."""

    texts: dict[str, list[str]]
    shares: dict[str, float]


def _by_language(texts: Sequence[str]) -> _LanguageShares:
    """The languages of texts; texts whose language cannot be identified are left out."""
    found: dict[str, list[str]] = {}
    for text in texts:
        code = language_of(text)
        if code is not None:
            found.setdefault(code, []).append(text)
    counts = Counter({code: len(those) for code, those in found.items() if len(those) > 1 or _is_sure(code, those[0])})
    shares = {code: n / len(texts) for code, n in counts.most_common() if n / len(texts) >= _MIN_SHARE}
    return _LanguageShares(found, shares)


def _is_sure(code: str, text: str) -> bool:
    """Whether one text alone is enough evidence of a language."""
    return _detected(text, _VERY_SURE) == code


def _reads(code: str, texts: Sequence[str], backbone: Backbone) -> bool:
    """Whether a backbone reads a language: by the catalog, or where that cannot tell by the tokens of texts in it."""
    entry = entry_of(backbone)
    if entry is None or (ANY in entry.languages and code not in entry.languages):
        return backbone.unknown_share(list(texts)) < _MAX_UNKNOWN_TOKENS
    return code in entry.languages


def _languages_of_labels(labels: Labels) -> list[str]:
    """The language of the labels' names and descriptions; unidentified names in plain ASCII count as English."""
    written = _wording(labels)
    found = language_of(written) or ("en" if written.isascii() and re.search("[A-Za-z]", written) else None)
    return [] if found is None else [found]


def _wording(labels: Labels) -> str:
    return "\n".join(f"{label.name}\n{label.description}" for label in labels)


def _hint(languages: set[str]) -> str:
    """Which model reads all these languages: one that is here, else the smallest."""
    able = sorted(knows(*languages), key=lambda entry: not is_here(entry))
    if not able:
        return tr("`rung models` lists what other backbones read.")
    found = able[0]
    if is_here(found):
        return tr("Choose a backbone that reads it:  {name}   (it is installed)", name=Localized(found.name))
    return _to_fetch(found)


def _to_fetch(entry: Entry) -> str:
    return tr(
        "Choose a backbone that reads it:  {name}   ({source}, {megabytes:,.0f} MB, fetched when it is first used)",
        name=Localized(entry.name),
        source=Localized(entry.source),
        megabytes=entry.megabytes or 0,
    )
