"""Whether a backbone reads the language of the texts, told from the share of tokens that it does not know."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rung.backbones.catalog import catalog, knows
from rung.evidence import Backbone, reads_images

# On texts of their own language the backbones here leave under 1 % of the tokens unknown, on Chinese over half.
_TOO_MANY = 0.15
_SAMPLE = 500
_HAN = re.compile(r"[㐀-鿿]")


def warning(texts: Sequence[str], backbone: Backbone) -> str | None:
    """A sentence that says the backbone does not know these texts' language and names one that does; or None, as for images."""
    if reads_images(backbone):
        return None
    sample = list(texts[:_SAMPLE])
    share = _unknown(sample, backbone)
    if share < _TOO_MANY:
        return None
    other = _reader_of(sample)
    return (
        f"{backbone.name} does not know {share:.0%} of the tokens in these texts: it does not read their language, and its"
        f" answers are close to chance.\n  Take one that does:  --backbone {other}   ({catalog()[other].source})"
    )


def reads(texts: Sequence[str], backbone: Backbone) -> bool:
    """Whether the backbone knows these texts' language, by the first of them."""
    return _unknown(texts[:_SAMPLE], backbone) < _TOO_MANY


def _unknown(texts: Sequence[str], backbone: Backbone) -> float:
    return backbone.unknown_share(texts) if texts else 0.0


def _reader_of(texts: Sequence[str]) -> str:
    """The smallest known model for the texts' script: a Chinese one for Chinese characters, else a multilingual one."""
    written = "".join(texts)
    chinese = len(_HAN.findall(written)) > 0.3 * len(re.sub(r"\s", "", written))
    return knows("zh" if chinese else "multilingual")[0].name
