"""One label, and a set of them: parsed, checked, and put into words that a backbone can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from rung.errors import UserError, nearest
from rung.messages import tr

# Frames of several shapes, for a bare word's embedding depends on chance and their mean much less: two bare, one for
# documents, two for what people ask (docs/log.md says what other frames do).
FRAMES = ("{}", "{}.", "This text is about {}.", "I have a question about {}.", "help with {}")
FRAMES_DESCRIBED = ("{d}", "{n}: {d}", "{n}, {d}", "This text is about {n}, {d}.", "{n} ({d})")
# For images, captions: what the texts that such models have read look like.
FRAMES_IMAGE = ("{}", "a photo of {}.", "a picture of a {}.", "an image that shows {}.", "{} in a photo")
FRAMES_IMAGE_DESCRIBED = ("{d}", "{n}, {d}", "a photo of {n}, {d}.", "an image that shows {n}: {d}.", "{n} ({d})")
_FRAMES = {"text": (FRAMES, FRAMES_DESCRIBED), "image": (FRAMES_IMAGE, FRAMES_IMAGE_DESCRIBED)}

KEYS = ("description", "words", "examples", "children")


@dataclass(frozen=True)
class Label:
    """A label as a person describes it. Only the name is needed; the rest sharpens what it means.

    words are single words or short phrases that speak for the label, examples whole texts that carry it. A label with
    children is their sum: texts are compared with the children, whose wording alone counts.
    """

    name: str
    description: str = ""
    words: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    children: tuple[Label, ...] = ()

    def phrasings(self, of: Literal["text", "image"] = "text") -> list[list[str]]:
        """Groups of sentences that say the label `of` a text or an image; every group counts the same, of however many.

        >>> Label("refund", words=("money back", "chargeback")).phrasings()[1]
        ['money back', 'chargeback']
        """
        named, described = _FRAMES[of]
        said = [frame.format(self.name) for frame in named]
        if self.description:
            said += [frame.format(n=self.name, d=self.description) for frame in described]
        return [group for group in (said, list(self.words), list(self.examples)) if group]

    def as_dict(self) -> dict[str, Any]:
        """The label as JSON keeps it: what is empty is left out."""
        kept = {"name": self.name, "description": self.description}
        lists = {"words": list(self.words), "examples": list(self.examples), "children": _as_mapping(self.children)}
        return {key: value for key, value in {**kept, **lists}.items() if value}

    def nodes(self) -> Iterator[Label]:
        """The label and all that lie under it, parents first."""
        yield self
        for child in self.children:
            yield from child.nodes()


@dataclass(frozen=True)
class Labels:
    """At least two labels with different names, sorted by name, as scikit-learn sorts `classes_`.

    labels are those at the top. Texts are compared with the leaves of the tree, the labels without children: they are
    what `names`, length and iteration speak of. In a flat list all labels are leaves.
    """

    labels: tuple[Label, ...]

    @classmethod
    def parse(cls, given: object) -> Self:
        """Labels from what a person passes in Python: a list of names, or a mapping from name to description or details.

        Raises UserError for a label without a name, a name given twice, an unknown key, or fewer than two labels.

        >>> Labels.parse({"bug": "something is broken", "billing": {"words": ["invoice", "refund"]}}).names
        ['billing', 'bug']
        """
        if isinstance(given, Labels):
            return cls(given.labels)
        if isinstance(given, str):
            raise UserError(
                "labels: got the single text {given!r}.", 'Pass a list:  labels=["billing", "bug report"]', given=given
            )
        if isinstance(given, Mapping):
            return cls.of(_label(name, value) for name, value in given.items())
        if isinstance(given, Iterable):
            return cls.of(_listed(each) for each in given)
        raise UserError(
            "labels: got {name}, not names.",
            'Pass a list of names, or {{"name": "description"}}.',
            name=type(given).__name__,
        )

    @classmethod
    def of(cls, labels: Iterable[Label], places: Iterable[str] | None = None) -> Self:
        """Check and sort `labels`; `places` say where each stands ("line 3"), so that an error can point there."""
        found = list(labels)
        where = list(places) if places is not None else [f"place {i + 1}" for i in range(len(found))]
        _refuse_duplicates([(node, place) for label, place in zip(found, where, strict=True) for node in label.nodes()])
        made = cls(tuple(sorted(found, key=lambda label: label.name)))
        if len(made) < 2:
            given = f"only {made.names[0]!r} is given" if found else "none is given"
            raise UserError(
                "labels: {given}, and a choice needs two.", "Add what the other texts are, such as  other", given=given
            )
        return made

    @property
    def names(self) -> list[str]:
        """The names of the leaves, in the order of `classes_`."""
        return [label.name for label in self]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Label]:
        leaves = (node for label in self.labels for node in label.nodes() if not node.children)
        return iter(sorted(leaves, key=lambda label: label.name))

    @property
    def is_tree(self) -> bool:
        """Whether any label has children."""
        return any(label.children for label in self.labels)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """A mapping that `parse` reads back."""
        return _as_mapping(self.labels)


def _as_mapping(labels: Iterable[Label]) -> dict[str, dict[str, Any]]:
    return {label.name: {k: v for k, v in label.as_dict().items() if k != "name"} for label in labels}


def _listed(each: object) -> Label:
    """One label out of a list: a name, a `Label`, or a mapping with a `name`."""
    if isinstance(each, Label):
        return each
    if isinstance(each, Mapping):
        return _label(each.get("name", ""), {key: value for key, value in each.items() if key != "name"})
    return _label(each, "")


def _label(name: object, value: object) -> Label:
    """One label out of a mapping's item, every mistake named."""
    if isinstance(name, bool) or not isinstance(name, str | int | float):
        raise UserError("labels: {name!r} is not a name.", "Write label names as texts, in quotes.", name=name)
    clean = str(name).strip()
    if not clean:
        raise UserError("labels: one label has an empty name.", "Give it a name, or take it out.")
    if isinstance(value, Mapping):
        return Label(clean, **_details(clean, value))
    if value is None or isinstance(value, str):
        return Label(clean, (value or "").strip())
    raise UserError(
        "labels: {clean!r} has {value!r} as its description.",
        'Write a text, or  {{"description": "...", "words": [...], "examples": [...]}}',
        clean=clean,
        value=value,
    )


def _details(name: str, value: Mapping[Any, Any]) -> dict[str, Any]:
    for key in value:
        if key not in KEYS:
            meant = nearest(str(key), KEYS)
            raise UserError(
                "labels: {name!r} has the unknown key {key!r}.",
                (
                    tr("Did you mean {meant}?", meant=meant)
                    if meant
                    else tr("The keys are {KEYS}.", KEYS=", ".join(KEYS))
                ),
                name=name,
                key=key,
            )
    return {
        "description": str(value.get("description") or "").strip(),
        "words": _texts(name, "words", value.get("words")),
        "examples": _texts(name, "examples", value.get("examples")),
        "children": _children(name, value.get("children")),
    }


def _children(name: str, value: object) -> tuple[Label, ...]:
    """The labels under one, sorted by name, given as the labels themselves are: a mapping or a list."""
    if not value:
        return ()
    if isinstance(value, Mapping):
        found = [_label(child, details) for child, details in value.items()]
    elif isinstance(value, Iterable) and not isinstance(value, str):
        found = [_listed(each) for each in value]
    else:
        raise UserError(
            "labels: {name!r} has {value!r} as its children.",
            'Write a list:  children: ["...", "..."]',
            name=name,
            value=value,
        )
    return tuple(sorted(found, key=lambda label: label.name))


def _texts(name: str, key: str, value: object) -> tuple[str, ...]:
    if not value:
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UserError(
            "labels: {name!r} has {value!r} as its {key}.",
            'Write a list:  {key}: ["...", "..."]',
            name=name,
            value=value,
            key=key,
        )
    return tuple(clean for each in value if (clean := str(each).strip()))


def _refuse_duplicates(found: list[tuple[Label, str]]) -> None:
    """Refuse equal names anywhere in the tree: an answer is a name, and must say which label it means."""
    seen: dict[str, tuple[Label, str]] = {}
    for label, place in found:
        first, at = seen.setdefault(label.name.casefold(), (label, place))
        if first is label:
            continue
        same = first.name == label.name
        what = f"{label.name!r} is given twice" if same else f"{first.name!r} and {label.name!r} differ in case only"
        raise UserError(
            "labels: {value} ({at} and {place}).",
            "Give every label once; to add wording to one, write  {label_name}: what it means",
            value=what,
            at=at,
            place=place,
            label_name=label.name,
        )
