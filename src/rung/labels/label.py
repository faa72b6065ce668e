"""One label: parsed, checked, and put into words that a backbone can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rung.errors import UserError, did_you_mean
from rung.labels.containers import column_values, is_missing
from rung.labels.normal_form import LabelValue, label_value, normal_text
from rung.labels.order import order_key
from rung.messages import tr

# The embedding of a bare word varies by chance; the mean over several frames varies much less. Two frames are bare, one is for
# documents, two are for what people ask (docs/log.md has results for other frames).
FRAMES = ("{}", "{}.", "This text is about {}.", "I have a question about {}.", "help with {}")
FRAMES_DESCRIBED = ("{d}", "{n}: {d}", "{n}, {d}", "This text is about {n}, {d}.", "{n} ({d})")
# For images the frames are captions, because image models were trained on captions.
FRAMES_IMAGE = ("{}", "a photo of {}.", "a picture of a {}.", "an image that shows {}.", "{} in a photo")
FRAMES_IMAGE_DESCRIBED = ("{d}", "{n}, {d}", "a photo of {n}, {d}.", "an image that shows {n}: {d}.", "{n} ({d})")
_FRAMES = {"text": (FRAMES, FRAMES_DESCRIBED), "image": (FRAMES_IMAGE, FRAMES_IMAGE_DESCRIBED)}

KEYS = ("description", "words", "examples", "children")


@dataclass(frozen=True)
class Label:
    """A label as a person describes it. Only the name is needed; the rest sharpens what it means.

    value is the label itself, as answers give it back: a text in normal form, a number or a bool. words are single words or
    short phrases that speak for the label, examples whole texts that carry it. A label with children is their sum: texts are
    compared with the children, whose wording alone counts.
    """

    value: LabelValue
    description: str = ""
    words: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    children: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", label_value(self.value))

    @property
    def name(self) -> str:
        """The label as it is written."""
        return str(self.value)

    @property
    def wording(self) -> str:
        """What backbones read as the name: the name, or the description of a number, which says nothing by itself.

        >>> Label(1, "positive").wording, Label("good", "positive").wording
        ('positive', 'good')
        """
        return self.description if self.description and _is_number(self.name) else self.name

    def phrasings(self, of: Literal["text", "image"] = "text") -> list[list[str]]:
        """Groups of sentences that state the label of a text or an image; every group has the same weight, whatever its size.

        >>> Label("refund", words=("money back", "chargeback")).phrasings()[1]
        ['money back', 'chargeback']
        """
        named, described = _FRAMES[of]
        sentences = [frame.format(self.wording) for frame in named]
        if self.description and self.wording == self.name:
            sentences += [frame.format(n=self.name, d=self.description) for frame in described]
        return [group for group in (sentences, list(self.words), list(self.examples)) if group]

    def as_dict(self) -> dict[str, Any]:
        """The label as JSON keeps it: its name as the value it is, so that 0 stays 0; what is empty is left out."""
        children = [child.as_dict() for child in self.children]
        lists = {"words": list(self.words), "examples": list(self.examples), "children": children}
        details = {"description": self.description, **lists}
        return {"name": self.value, **{key: value for key, value in details.items() if value}}

    def nodes(self) -> Iterator[Label]:
        """The label and all that lie under it, parents first."""
        yield self
        for child in self.children:
            yield from child.nodes()


def in_order(labels: Iterable[Label]) -> tuple[Label, ...]:
    """The same labels in the one order of labels."""
    return tuple(sorted(labels, key=lambda label: order_key(label.value)))


def listed_label(each: object) -> Label:
    """One label out of a list: a name, a `Label`, a mapping with a `name` (or `label`), or one from name to description."""
    if isinstance(each, Label):
        return each
    if isinstance(each, Mapping):
        if len(each) == 1 and not each.keys() & {"name", "label", *KEYS}:
            return parse_label(*next(iter(each.items())))
        named = "label" if "name" not in each and "label" in each else "name"
        return parse_label(each.get(named, ""), {key: value for key, value in each.items() if key != named})
    return parse_label(each, "")


def parse_label(name: object, value: object) -> Label:
    """One label out of a mapping's item, every mistake named."""
    clean = label_value(name)
    if isinstance(value, Mapping):
        return Label(clean, **_details(str(clean), value))
    if is_missing(value) or isinstance(value, str):
        return Label(clean, _description(value))
    raise UserError(
        "labels: the description of {name!r} is {value!r}.",
        'Write a text, or  {{"description": "...", "words": [...], "examples": [...]}}',
        name=clean,
        value=value,
    )


def _details(name: str, value: Mapping[Any, Any]) -> dict[str, Any]:
    for key in value:
        if key not in KEYS:
            hint = did_you_mean(key, KEYS, tr("The keys are {keys}.", keys=", ".join(KEYS)))
            raise UserError("labels: {name!r} has the unknown key {key!r}.", hint, name=name, key=key)
    return {
        "description": _description(value.get("description")),
        "words": _texts(name, "words", value.get("words")),
        "examples": _texts(name, "examples", value.get("examples")),
        "children": _children(name, value.get("children")),
    }


def _children(name: str, value: object) -> tuple[Label, ...]:
    """The labels under one, in their order, given as the labels themselves are: a mapping or a list."""
    if is_missing(value) or (hasattr(value, "__len__") and not len(value)):
        return ()
    if isinstance(value, Mapping):
        found = [parse_label(child, details) for child, details in value.items()]
    elif isinstance(value, Iterable) and not isinstance(value, str):
        found = [listed_label(each) for each in value]
    else:
        raise UserError(
            "labels: the children of {name!r} are {value!r}.",
            'Write a list:  children: ["...", "..."]',
            name=name,
            value=value,
        )
    return in_order(found)


def _description(value: object) -> str:
    return "" if is_missing(value) else normal_text(str(value))


def _texts(name: str, key: str, value: object) -> tuple[str, ...]:
    if is_missing(value) or value == "":
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UserError(
            "labels: {key} of {name!r} is {value!r}.",
            'Write a list:  {key}: ["...", "..."]',
            name=name,
            value=value,
            key=key,
        )
    return tuple(clean for each in column_values(value) if (clean := normal_text(str(each))))


def _is_number(name: str) -> bool:
    try:
        return float(name) == float(name)
    except ValueError:
        return False
