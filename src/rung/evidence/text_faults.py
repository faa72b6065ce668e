"""Why a text or an image cannot be read, as far as it shows before a backbone is asked."""

from __future__ import annotations

import re
import unicodedata

from rung.evidence.images import Picture
from rung.labels.containers import is_missing
from rung.messages import tr

_WORDLIKE = re.compile(r"[^\W_]")  # a letter or a digit: nearly all texts have one, and are done with at once
_UNSEEN = frozenset("CZM")  # first letters of the categories of controls and formats, of spaces, of marks on a letter
_SEEN_C = frozenset(("Co", "Cn"))  # private, or younger than this Python: an emoji of next year, which a model may know
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # Hangul fillers and the empty Braille cell
_UNDECODED = "\ufffd"
_EMOTICON = re.compile(r"[:;].?[()\[\]{}/\\|*]|[()\[\]{}/\\|*].?[:;]")  # eyes and a mouth, which say something


def fault(text: object) -> str | None:
    r"""Why a text cannot be read, or None; of an image, as far as it is known before it is opened.

    A text of which nothing can be seen is empty: zero-width and control characters, variation selectors, marks without a letter.

    >>> fault("  "), fault("\u200b\ufeff"), fault("...")
    ('the text is empty', 'the text is empty', 'the text holds only punctuation')
    """
    if isinstance(text, Picture):
        return text.fault
    if isinstance(text, str):
        return _says_nothing(text)
    if is_missing(text):
        return tr("the text is missing")
    return tr("not a text but {kind}", kind=type(text).__name__)


def _says_nothing(text: str) -> str | None:
    """Why no model could tell anything from a text, or None."""
    found = _WORDLIKE.search(text)
    if found is not None and found.group() not in _BLANK_LETTERS:
        return None
    seen = {character for character in set(text) if not _is_unseen(character)}
    if not seen:
        return tr("the text is empty")
    if seen == {_UNDECODED}:
        return tr("the text holds only replacement characters (U+FFFD): it was read in the wrong encoding")
    if all(unicodedata.category(each).startswith("P") for each in seen) and not _EMOTICON.search(text):
        return tr("the text holds only punctuation")
    return None


def without_punctuation(text: str) -> str:
    """A text without its punctuation; one that holds an emoticon is left as it is."""
    if _EMOTICON.search(text):
        return text
    return "".join(each for each in text if not unicodedata.category(each).startswith("P"))


def _is_unseen(character: str) -> bool:
    """Whether a character leaves nothing on the page by itself."""
    category = unicodedata.category(character)
    if category in _SEEN_C:
        return _is_noncharacter(character)
    return category[0] in _UNSEEN or character in _BLANK_LETTERS


def _is_noncharacter(character: str) -> bool:
    """Whether Unicode promises that this will never be a character."""
    return 0xFDD0 <= ord(character) <= 0xFDEF or ord(character) & 0xFFFE == 0xFFFE
