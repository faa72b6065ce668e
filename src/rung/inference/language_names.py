"""The names of languages by their ISO 639-1 codes."""

from __future__ import annotations

from rung.messages import message, tr

_NAMES = {
    "af": message("Afrikaans"),
    "ar": message("Arabic"),
    "bg": message("Bulgarian"),
    "bn": message("Bengali"),
    "ca": message("Catalan"),
    "cs": message("Czech"),
    "da": message("Danish"),
    "de": message("German"),
    "el": message("Greek"),
    "en": message("English"),
    "es": message("Spanish"),
    "et": message("Estonian"),
    "fa": message("Persian"),
    "fi": message("Finnish"),
    "fr": message("French"),
    "he": message("Hebrew"),
    "hi": message("Hindi"),
    "hr": message("Croatian"),
    "hu": message("Hungarian"),
    "id": message("Indonesian"),
    "it": message("Italian"),
    "ja": message("Japanese"),
    "ko": message("Korean"),
    "lt": message("Lithuanian"),
    "lv": message("Latvian"),
    "ms": message("Malay"),
    "nl": message("Dutch"),
    "no": message("Norwegian"),
    "pl": message("Polish"),
    "pt": message("Portuguese"),
    "ro": message("Romanian"),
    "ru": message("Russian"),
    "sk": message("Slovak"),
    "sl": message("Slovenian"),
    "sr": message("Serbian"),
    "sv": message("Swedish"),
    "sw": message("Swahili"),
    "ta": message("Tamil"),
    "th": message("Thai"),
    "tr": message("Turkish"),
    "uk": message("Ukrainian"),
    "ur": message("Urdu"),
    "vi": message("Vietnamese"),
    "zh": message("Chinese"),
}


def name_of(code: str) -> str:
    """What a person calls a language; one that has no name here goes by its code.

    >>> name_of("de"), name_of("mt")
    ('German', 'like the language mt')
    """
    return tr(_NAMES[code]) if code in _NAMES else tr("like the language {code}", code=code)
