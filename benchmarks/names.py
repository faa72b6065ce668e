"""How good the rung `names` is with each backbone, and what each of its parts brings: frames, descriptions,
the correction for hubs; and what centring would do instead.

Writes results/names.json. Zero labels, no unlabelled texts: label names and descriptions of each set's labels.csv.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import sets

from rung.evidence import Array, Evidence, unit
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed, embed_texts, label_evidence
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
        backbone = sets.loaded(name)
        for given in map(sets.read, sets.ENGLISH):
            features, reasons = embed_texts(given.texts, backbone, cache=cache)
            evidence = label_evidence(given.labels, backbone, cache=cache).of_texts(features, reasons)
            rows.append({"backbone": name, **score(given, evidence, Names())})
            parts += [
                {"backbone": name, "variant": v, **score(given, *made)}
                for v, made in variants(given, evidence, backbone)
            ]
            print(name, rows[-1]["set"], rows[-1]["accuracy"], rows[-1]["interval"])
    sets.write("names", {"rung": "names", "rows": rows, "variants": parts})


def score(given: sets.TestSet, evidence: Evidence, rung: Names) -> dict[str, Any]:
    names = given.labels.names
    return sets.accuracy(given, [names[k] for k in rung.log_posterior(evidence).argmax(axis=1)])


def variants(given: sets.TestSet, evidence: Evidence, backbone: Any) -> list[tuple[str, tuple[Evidence, Names]]]:
    """The same texts with one part of the rung taken away or changed."""
    plain = label_evidence(Labels(tuple(Label(label.name) for label in given.labels)), backbone, cache=Cache())
    made = [(f"correction {c:g}", (evidence, Names(correction=c))) for c in (0.0, 0.25, 0.5, 1.0)]
    made.append(("no descriptions", (replace(evidence, anchors=plain.anchors), Names())))
    for title, frames in FRAMES.items():
        said = [[frame.format(name) for name in given.labels.names] for frame in frames]
        anchors = unit(np.mean([embed(each, backbone, "label", cache=Cache()) for each in said], axis=0))
        made.append((f"{title} only, no correction", (replace(evidence, anchors=anchors), Names(correction=0))))
    general = evidence.general.mean(axis=0)
    made.append(("texts centred on general texts", (_centred(evidence, general, 0), Names(correction=0))))
    pool, anchors = evidence.features.mean(axis=0), evidence.anchors.mean(axis=0)
    return [
        *made,
        (
            "both sides centred on the set, which needs its texts",
            (_centred(evidence, pool, anchors), Names(correction=0)),
        ),
    ]


def _centred(evidence: Evidence, texts: Array, anchors: Array | int) -> Evidence:
    return replace(evidence, features=unit(evidence.features - texts), anchors=unit(evidence.anchors - anchors))


if __name__ == "__main__":
    main()
