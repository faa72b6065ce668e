"""How fast texts become embeddings: rung in each of its ways beside sentence-transformers' own `encode`, in one run.

Writes results/encode.json. The texts are ag_news' test split, the weights MiniLM's. Every way embeds the same texts in turn, five
rounds, nothing cached; told are the median of texts a second, its ratio to sentence-transformers in the same round, the smallest
cosine of a text to the float32 reference, and the share of texts whose label by the names rung stays. The processor's peak is
measured by a matrix product of the size that the model does most, and the model's work is counted from its config.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from statistics import median
from typing import Any

import measure
import numpy as np
import sets

from rung import load
from rung.backbones.common.engine_selection import candidate_configs, computes_bf16
from rung.backbones.common.engines import EngineConfig
from rung.evidence.embedding import label_evidence
from rung.rungs.names import Names

ROUNDS = 5
PRODUCTS = 50  # in one timing of the peak
TEXTS = 1000  # a round of all ways then takes a minute or two on two cores
PEER = "sentence-transformers"
BUILTIN = "rung built-in"
Embed = Callable[[list[str]], Any]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--texts", type=int, default=TEXTS, help="how many of ag_news' test texts")
    given = sets.read("ag_news")
    texts = given.texts[: asked.parse_args().texts]
    ways = {PEER: peer(), **{f"rung {way}": rung(way) for way in all_ways()}}
    for embed in ways.values():
        embed(texts[:100])
    found: dict[str, Any] = {}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, embed in ways.items():
            found[name], seconds = measure.timed(lambda embed=embed: embed(texts))
            speeds[name].append(len(texts) / seconds)
            print(name, round(speeds[name][-1], 1), flush=True)
    rows = [row(name, found, speeds, given) for name in ways]
    result = {
        "set": "ag_news",
        "texts": len(texts),
        "rounds": ROUNDS,
        "processor": processor(),
        "chosen": str(load("minilm").numerics),
        "rows": rows,
        "builtin": builtin(given),
        "work": work(texts, fastest(rows)),
    }
    for each in [*rows, result["builtin"], result["work"]]:
        print(json.dumps(each))
    sets.write("encode", result, ["openvino"])


def all_ways() -> list[EngineConfig]:
    """Every way that this machine computes in; where bf16 is only emulated, it is many times slower and left out."""
    bf16 = [EngineConfig("torch", "bf16")] * computes_bf16()
    return [*dict.fromkeys([EngineConfig("torch", "float32"), *bf16, *candidate_configs()])]


def rung(way: EngineConfig) -> Embed:
    return load("minilm", engine=way.engine, precision=way.precision).embed


def peer() -> Embed:
    """The library's own encode, with its own batches of 32, in float32."""
    from sentence_transformers import SentenceTransformer

    folder = str(load("minilm").folder)  # type: ignore[attr-defined]
    encoder = SentenceTransformer(folder, device="cpu", local_files_only=True, model_kwargs={"dtype": "float32"})
    return lambda texts: encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def row(name: str, found: dict[str, Any], speeds: dict[str, list[float]], given: sets.TestSet) -> dict[str, Any]:
    """One way beside the library and beside the reference."""
    reference = found["rung torch-float32"]
    times = [own / other for own, other in zip(speeds[name], speeds[PEER], strict=True)]
    return {
        "way": name,
        "texts_per_s": round(median(speeds[name]), 1),
        "times": round(median(times), 2),
        "least_cosine": float(f"{(found[name] * reference).sum(axis=1).min():.5f}"),
        "labels_kept": measure.percent((labelled(found[name], given) == labelled(reference, given)).mean()),
    }


def fastest(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The most texts a second of any of rung's ways, by precision."""
    found: dict[str, float] = {}
    for way, speed in ((row["way"], row["texts_per_s"]) for row in rows if row["way"] != PEER):
        precision = way.rpartition("-")[2]
        found[precision] = max(speed, found.get(precision, 0.0))
    return found


def labelled(rows: Any, given: sets.TestSet) -> Any:
    """The label of each row by the names rung."""
    evidence = label_evidence(given.labels, sets.loaded("minilm")).of_texts(rows, [None] * len(rows))
    return Names().log_posterior(evidence).argmax(axis=1)


def builtin(given: sets.TestSet) -> dict[str, Any]:
    """The built-in model on the whole split, a fresh one each time: no word is remembered from the round before."""
    speeds = []
    for _ in range(ROUNDS):
        backbone = load("builtin")
        backbone = type(backbone).open(backbone.folder, "builtin")  # type: ignore[attr-defined]
        backbone.embed(given.texts[:100])
        _, seconds = measure.timed(lambda backbone=backbone: backbone.embed(given.texts))
        speeds.append(len(given.texts) / seconds)
    return {"way": BUILTIN, "texts": len(given.texts), "texts_per_s": round(median(speeds))}


def work(texts: list[str], speeds: dict[str, float]) -> dict[str, Any]:
    """How far the fastest result in each precision (texts a second) is from what the processor can do.

    Multiplications and additions of one token through one layer: 2 · (4 d² + 2 d f) for the products with weights (d: width, f:
    width inside the feed-forward part), and 2 · 2 t d for attention over the t tokens of its text.
    """
    import torch

    backbone = sets.loaded("minilm")
    config = backbone.config  # type: ignore[attr-defined]
    d, f, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    lengths = np.array([len(each.ids) + 2 for each in backbone._encode(texts)])  # type: ignore[attr-defined]
    lengths = np.minimum(lengths, backbone.max_tokens or lengths.max())
    flops = float((layers * lengths * (2 * (4 * d * d + 2 * d * f) + 4 * lengths * d)).mean())
    found = {
        "tokens_per_text": round(float(lengths.mean()), 1),
        "gflop_per_text": round(flops / 1e9, 2),
        "threads": torch.get_num_threads(),
    }
    for precision, speed in speeds.items():
        peak = product(d, f, precision)
        found[precision] = {
            "gflops_of_product": round(peak / 1e9, 1),
            "texts_per_s_at_peak": round(peak / flops, 1),
            "fastest": round(speed, 1),
            "share_of_peak": measure.percent(speed * flops / peak),
        }
    return found


def product(d: int, f: int, precision: str) -> float:
    """Multiplications and additions a second of a product of the size that the model does most."""
    import torch

    kind = {"float32": torch.float32, "bf16": torch.bfloat16}[precision]
    a, b = torch.randn(1024, d).to(kind), torch.randn(d, f).to(kind)
    seconds = [measure.timed_exactly(lambda: [a @ b for _ in range(PRODUCTS)])[1] / PRODUCTS for _ in range(9)]
    return 2 * len(a) * d * f / min(seconds)


def processor() -> dict[str, Any]:
    """What the processor is, as far as the system says."""
    lines = open("/proc/cpuinfo", encoding="utf-8").read().splitlines() if os.path.exists("/proc/cpuinfo") else []  # noqa: PTH123, SIM115
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"name": names[0] if names else "", "cores": os.cpu_count(), "computes_bf16": computes_bf16()}


if __name__ == "__main__":
    main()
