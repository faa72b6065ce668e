"""A prompt for a backbone: a frame, in which control tokens are read, around a person's text, in which they are not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    r"""A person's text between the two halves of its frame: the instruction, the labels, a chat's turns.

    Control tokens ("<|im_end|>", "</s>", "[MASK]") are read in the frame only; in the text they are characters like all others.
    Of a prompt that is too long only the text is cut. A plain string is tokenized as it is, and all of it may be cut.

    >>> str(Prompt("Text: ", "my card is lost", "\nLabel:"))
    'Text: my card is lost\nLabel:'
    """

    before: str
    text: str
    after: str = ""

    def __str__(self) -> str:
        return self.before + self.text + self.after
