"""How good the rung `names` is with each backbone, and what each of its parts brings: frames, descriptions, centring.

Writes results/names.json. Zero labels, no unlabelled texts: label names and descriptions of each set's labels.csv.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import sets

from rung import load
from rung.cache import Cache
from rung.evidence import Array, Evidence, about_labels, about_texts, embed, unit
from rung.labels import Label, Labels
from rung.rungs.names import Names

FRAMES = {
    "bare name": ["{}"],
    "four frames": ["{}", "This text is about {}.", "The topic is {}.", "This is an example of {}."],
}


def main() -> None:
    cache = Cache()
    rows, parts = [], []
    for name in ("minilm", "builtin"):
        backbone = load(name)
        for given in map(sets.read, sets.ENGLISH):
            features, reasons = about_texts(given.texts, backbone, cache=cache)
            evidence = about_labels(given.labels, backbone, cache=cache).of_texts(features, reasons)
            rows.append({"backbone": name, **score(given, evidence, Names())})
            parts += [
                {"backbone": name, "variant": v, **score(given, *made)}
                for v, made in variants(given, evidence, backbone)
            ]
            print(name, rows[-1]["set"], rows[-1]["accuracy"], rows[-1]["interval"])
    sets.write("names", {"rung": "names", "rows": rows, "variants": parts, "speed": speed()})


def score(given: sets.TestSet, evidence: Evidence, rung: Names) -> dict[str, Any]:
    names = given.labels.names
    return sets.accuracy(given, [names[k] for k in rung.log_posterior(evidence).argmax(axis=1)])


def variants(given: sets.TestSet, evidence: Evidence, backbone: Any) -> list[tuple[str, tuple[Evidence, Names]]]:
    """The same texts with one part of the rung taken away or changed."""
    plain = about_labels(Labels(tuple(Label(label.name) for label in given.labels)), backbone, cache=Cache())
    made = [(f"centring {c:g}", (evidence, Names(centring=c))) for c in (0.0, 0.5, 1.0)]
    made.append(("no descriptions", (replace(evidence, anchors=plain.anchors), Names())))
    for title, frames in FRAMES.items():
        said = [[frame.format(name) for name in given.labels.names] for frame in frames]
        anchors = unit(np.mean([embed(each, backbone, "label", cache=Cache()) for each in said], axis=0))
        made.append((f"{title} only, not centred", (replace(evidence, anchors=anchors), Names(centring=0))))
    both = replace(evidence, background=2 * evidence.features.mean(axis=0), anchors=_centred(evidence.anchors))
    return [*made, ("both sides centred on the set itself, which needs its texts", (both, Names()))]


def _centred(rows: Array) -> Array:
    return unit(rows - rows.mean(axis=0))


def speed() -> dict[str, Any]:
    """Texts a second of the built-in model, ag_news test, median of five."""
    texts = sets.read("ag_news").texts
    backbone = load("builtin")
    backbone.embed(texts[:100])
    seconds = []
    for _ in range(5):
        start = perf_counter()
        backbone.embed(texts)
        seconds.append(perf_counter() - start)
    return {"backbone": "builtin", "set": "ag_news", "texts_per_s": round(len(texts) / median(seconds))}


if __name__ == "__main__":
    main()
