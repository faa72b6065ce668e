"""Free English texts that any Debian machine can fetch: dictionary glosses, package descriptions, and phrases made of them."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rung.errors import UserError
from rung.messages import tr

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")

# Classifiers read questions and requests, and there are none among glosses and package descriptions.
REQUESTS = (
    "how do i {}", "i want to {}", "can you {}", "could you help me {}", "please {}", "how can i {}?", "i need to {}",
    "let's {}", "why can't i {}?", "should i {}", "when did you {}", "is it possible to {}",
)  # fmt: skip
QUESTIONS = (
    "what is {}", "where can i find {}", "tell me about {}", "what's my {}", "do you have {}", "how much is {}?",
    "i lost my {}", "who invented {}?", "how many {} are there", "i'm looking for {}", "is there any {} near me",
    "change my {}", "i have a problem with {}", "when is the {}", "what does {} mean",
)  # fmt: skip
PHRASINGS = ("This text is about {}.", "The topic is {}.", "This is an example of {}.")


@dataclass(frozen=True)
class Source:
    """A source of texts, by version and sha256, so that it can be fetched again, or a change be noticed."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class WordNet:
    """The words and texts of one dictionary: the words and the gloss of each meaning, and example sentences."""

    meanings: list[tuple[str, list[str], str]]  # part of speech, words, gloss
    examples: list[str]

    @property
    def glosses(self) -> list[str]:
        """The gloss of each meaning."""
        return [gloss for _, _, gloss in self.meanings]

    @property
    def words(self) -> list[str]:
        """Every word and compound once."""
        return list(dict.fromkeys(word for _, words, _ in self.meanings for word in words))


def fetch_wordnet(folder: Path) -> tuple[Source, WordNet]:
    """WordNet from Debian's package wordnet-base, fetched into `folder`.

    Raises UserError if apt cannot fetch it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _apt("apt-get", "download", "wordnet-base", folder=folder)
    package = max(folder.glob("wordnet-base_*.deb"))
    _apt("dpkg-deb", "-x", package.name, "wordnet", folder=folder)
    version = _apt("dpkg-deb", "-f", package.name, "Version", folder=folder).strip()
    lexicon = folder / "wordnet" / "usr" / "share" / "wordnet"
    meanings, examples = [], []
    for part in PARTS_OF_SPEECH:
        for line in (lexicon / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):  # the indented lines hold the license
                words, gloss, sentences = _read_meaning(line)
                meanings.append((part, words, gloss))
                examples += sentences
    source = Source("wordnet-base", version, hashlib.sha256(package.read_bytes()).hexdigest())
    return source, WordNet(meanings, list(dict.fromkeys(examples)))


def _read_meaning(line: str) -> tuple[list[str], str, list[str]]:
    """Words, gloss and example sentences (three words or more) of one line of a WordNet data file.

    >>> _read_meaning('00 04 n 01 spree 0 001 @ 1 n 0 | a brief indulgence; "a shopping spree"; "spree (noun)"')
    (['spree'], 'a brief indulgence', ['a shopping spree'])
    """
    head, _, text = line.partition(" | ")
    fields = head.split()
    words = [re.sub(r"\(.*\)$", "", word).replace("_", " ") for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
    sentences = [quoted.strip() for quoted in re.findall(r'"([^"]+)"', text)]
    gloss = re.sub(r'"[^"]*"(--[^;]*|\s*-[^;]*)?', "", text)
    return words, re.sub(r"[;\s]+$", "", gloss).strip(), [text for text in sentences if len(text.split()) > 2]


def fetch_descriptions(folder: Path) -> tuple[Source, list[str], list[str]]:
    """Short descriptions and running paragraphs of every Debian package, each text once; lists and tables are left out.

    The lists are written into `folder`, and the machine's own lists stay as they are. Raises UserError if apt cannot fetch them.
    """
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    private = ["-o", f"Dir::State::lists={lists.resolve()}", "-o", "Acquire::Languages=en"]
    _apt("apt-get", *private, "update", folder=folder)
    layout = "$(FILENAME)|$(LABEL) $(CODENAME) $(COMPONENT)|$(VERSION)"
    targets = _apt("apt-get", *private, "indextargets", "--format", layout, "Created-By: Translations", folder=folder)
    # The archives of updates repeat the descriptions of the release, and they change every week.
    rows = [row.split("|") for row in targets.splitlines() if re.search(r"\|Debian [a-z]+ main\|", row)]
    if not rows:
        raise UserError(
            "apt knows no Debian release here.", "Run this on Debian, with its main archive in apt's sources."
        )
    file, name, version = rows[0]
    text = _apt("/usr/lib/apt/apt-helper", "cat-file", file, folder=folder)
    source = Source(f"{name} Translation-en", version, hashlib.sha256(text.encode()).hexdigest())
    return source, *_read_descriptions(text)


def _read_descriptions(text: str) -> tuple[list[str], list[str]]:
    """Short descriptions and running paragraphs of a Debian Translation file, each once."""
    found = re.findall(r"^Description-en: (.*)((?:\n .*)*)", text, re.MULTILINE)
    parts = [part for _, long in found for part in long.removeprefix("\n").split("\n .\n")]
    running = [part for part in parts if not re.search(r"^ ( |[-*])", part, re.MULTILINE)]
    joined = [" ".join(part.split()) for part in running]
    # longer paragraphs are rare, add little, and would take half of the embedding time
    paragraphs = _unique(part for part in joined if 5 < len(part.split()) <= 60)
    return _unique(short.strip() for short, _ in found), paragraphs


def phrase_texts(words: WordNet, sentences: list[str], rng: np.random.Generator) -> dict[str, list[str]]:
    """Short texts that resemble label names and messages: questions, definitions, phrasings, and spans of sentences."""
    glosses = [f"{names[0]}: {gloss}" for _, names, gloss in words.meanings]
    return {
        "asked": _requests_and_questions(words, rng),
        "defined": _sample(glosses, 40_000, rng),
        "phrased": [_fill(PHRASINGS, word, rng) for word in _sample(words.words, 20_000, rng)],
        "cut": [
            _random_span(text, rng)
            for text in _sample([text for text in sentences if len(text.split()) > 5], 40_000, rng)
        ],
    }


def _requests_and_questions(words: WordNet, rng: np.random.Generator) -> list[str]:
    """Requests with verbs and their glosses, and questions with nouns."""
    verbs = [(names[0], gloss.split(";")[0]) for part, names, gloss in words.meanings if part == "verb"]
    nouns = _unique(name for part, names, _ in words.meanings if part == "noun" for name in names)
    requests = [_fill(REQUESTS, text, rng) for pair in verbs for text in pair]
    return requests + [_fill(QUESTIONS, noun, rng) for noun in _sample(nouns, 30_000, rng)]


def _random_span(text: str, rng: np.random.Generator) -> str:
    """A random span of two to five words of a longer text."""
    words = text.split()
    length = int(rng.integers(2, 6))
    start = int(rng.integers(0, len(words) - length + 1))
    return " ".join(words[start : start + length]).strip(".,;:()")


def _fill(templates: tuple[str, ...], text: str, rng: np.random.Generator) -> str:
    return templates[rng.integers(len(templates))].format(text)


def _sample(texts: list[str], size: int, rng: np.random.Generator) -> list[str]:
    """A random sample of at most `size` of the texts."""
    return [texts[i] for i in rng.permutation(len(texts))[:size]]


def _unique(texts: object) -> list[str]:
    return list(dict.fromkeys(texts))  # type: ignore[call-overload]


def _apt(*command: str, folder: Path) -> str:
    """The output of the command, run in `folder`. Raises UserError if it is missing or fails."""
    hint = tr("Run this on Debian 12 or newer, online, with apt and dpkg; or keep the model that is shipped.")
    if shutil.which(command[0]) is None:
        raise UserError(
            "{command} is not on this machine; the free texts are fetched from Debian's archive.",
            hint,
            command=command[0],
        )
    completed = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # noqa: S603 - fixed commands
    if completed.returncode:
        lines = completed.stderr.decode("utf-8", "replace").strip().splitlines()
        if not lines:
            raise UserError("{command} failed without a message.", hint, command=" ".join(command))
        raise UserError("{command} failed: {message}", hint, command=" ".join(command), message=lines[-1])
    return completed.stdout.decode("utf-8")
