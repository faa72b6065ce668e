"""Tables of how fast and how large, from benchmarks/results."""

from __future__ import annotations

from table_cells import result, table


def scoring_table() -> str:
    """A causal model's time for all labels of a text: in one pass, and pair by pair."""
    keys = (
        "frame",
        "prompt_tokens",
        "labels",
        "shared_s",
        "together_s",
        "pairs_s",
        "times",
        "times_together",
        "largest_gap",
    )
    rows = [[row[key] for key in keys] for row in result("scoring")["rows"]]
    head = [
        "prompt",
        "its tokens",
        "labels",
        "s a text",
        "s a text, many at once",
        "s by pairs",
        "times",
        "times, many at once",
    ]
    return table([*head, "largest difference"], rows)


def growth_table() -> str:
    """Time by the number of labels after the same prompt."""
    rows = [[row["labels"], row["label_tokens"], row["seconds"]] for row in result("scoring")["growth"]]
    return table(["labels", "their tokens", "s a text"], rows)


def scale_table() -> str:
    """Seconds where texts or labels are many."""
    keys = ("texts", "dimensions", "labels", "names_predict_s", "names_peak_mib", "fit_s", "predict_s", "peak_mib")
    rows = [[f"{row[key]:,}" if key in row else "" for key in keys] for row in result("scale")["rows"]]
    head = ["texts", "dimensions", "labels", "`names`: seconds", "its peak MiB"]
    return table([*head, "`pool`: seconds of fit", "of predict", "peak MiB"], rows)


def encode_table() -> str:
    """One row a way to embed, beside sentence-transformers in the same run."""
    rows = [
        [row["way"], row["texts_per_s"], row["times"], row["least_cosine"], row["labels_kept"]]
        for row in result("encode")["rows"]
    ]
    return table(["MiniLM by", "texts a second", "times", "smallest cosine to float32", "labels kept, %"], rows)


def encode_work() -> str:
    """How far from the processor's peak the results are, and what that leaves to be won."""
    found = result("encode")
    work, peer = found["work"], found["rows"][0]["texts_per_s"]
    told = [
        f"On this {found['processor']['name']}: {work['tokens_per_text']} tokens a text are {work['gflop_per_text']} GFLOP,"
        f" on {work['threads']} threads."
    ]
    for precision in (each for each in ("float32", "bf16") if each in work):
        own = work[precision]
        most = own["texts_per_s_at_peak"]
        told.append(
            f"In {precision} a product of two matrices of the model's own size runs at {own['gflops_of_product']} GFLOP/s, which is"
            f" {most} texts a second at the most, {most / peer:.1f} times sentence-transformers' own; the fastest way reaches"
            f" {own['share_of_peak']} % of that."
        )
    if not found["processor"]["computes_bf16"]:
        told.append("This processor computes no bf16.")
    return " ".join(told) + "\n"


def files_table() -> str:
    """One row a number of rows and rung: from CSV to CSV with the built-in model."""
    rows = [
        [
            f"{row['rows']:,}",
            f"`{row['rung']}`",
            row["seconds"],
            f"{row['rows_per_s']:,}",
            row["peak_mib"],
            row["input_mib"],
        ]
        for row in result("files")["rows"]
    ]
    return table(["rows", "rung", "seconds", "rows a second", "peak MiB", "the file, MiB"], rows)


def kills_table() -> str:
    """Runs that were killed at random moments and started again."""
    rows = [
        [f"`{row['rung']}`", f"{row['rows']:,}", row["kills"], row["same_bytes"], row["went_on_after_rows"]]
        for row in result("files")["kills"]
    ]
    return table(["rung", "rows", "kills", "same bytes in the end", "went on in the middle"], rows)


TABLES = {
    "scoring": scoring_table,
    "scoring-growth": growth_table,
    "scale": scale_table,
    "encode": encode_table,
    "encode-work": encode_work,
    "files": files_table,
    "kills": kills_table,
}
