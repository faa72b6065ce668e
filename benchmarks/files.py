"""`rung classify` from file to file: rows a second and memory by rows, and what ten kills do to a run.

Writes results/files.json. The file is ag_news' test split again and again, each repetition perturbed by a made-up word, so that no
two texts are equal. Each run is a process of its own, started from the command line; its peak memory is what the system counted. A
run that is killed is killed with SIGKILL at a moment drawn at random within the time of the unbroken one, then started again.
"""

from __future__ import annotations

import argparse
import csv
import filecmp
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import sets

ROWS = (1_000, 10_000, 100_000, 1_000_000)
ROUNDS = {1_000: 5, 10_000: 5, 100_000: 5, 1_000_000: 1}
KILLS = 10
KILLED_ROWS = 100_000
LABELS = "World,Sports,Business,Technology"
WAYS = {"names": ["--no-pool"], "pool": []}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, nargs="+", default=ROWS)
    asked.add_argument("--part", choices=("both", "speed", "kills"), default="both")
    chosen = asked.parse_args()
    file = sets.RESULTS / "files.json"
    result = json.loads(file.read_text("utf-8")) if file.exists() else {}
    result.pop("made_on", None)
    result |= {"backbone": "builtin", "labels": LABELS.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        if chosen.part != "kills":
            result["rows"] = [of_size(Path(folder), rows, way) for rows in chosen.rows for way in WAYS]
        if chosen.part != "speed":
            result["kills"] = [killed(Path(folder), way) for way in WAYS]
    sets.write("files", result)


def made(folder: Path, rows: int) -> Path:
    """A CSV of `rows` texts, no two alike."""
    file = folder / f"{rows}.csv"
    if file.exists():
        return file
    texts, rng = sets.read("ag_news").texts, random.Random(0)
    with file.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["id", "text"])
        for row in range(rows):
            words = texts[row % len(texts)].split()
            if row >= len(texts):
                words.insert(rng.randrange(len(words)), f"{rng.choice(words)}{rng.randrange(1000)}")
            out.writerow([f"{row:07}", " ".join(words)])
    return file


def command(file: Path, out: Path, way: str) -> list[str]:
    asked = ["--labels", LABELS, "--backbone", "builtin", "--out", str(out), "--force", *WAYS[way]]
    return [sys.executable, "-m", "rung", "classify", str(file), *asked]


def of_size(folder: Path, rows: int, way: str) -> dict[str, Any]:
    """Rows a second from file to file, the start of Python included, and the peak memory, medians over rounds."""
    file, out = made(folder, rows), folder / "out.csv"
    seconds, peaks = [], []
    for _ in range(ROUNDS.get(rows, 1)):
        start = time.perf_counter()
        peaks.append(peak_of(command(file, out, way)))
        seconds.append(time.perf_counter() - start)
    row = {"rows": rows, "rung": way, "rounds": len(seconds), "seconds": round(median(seconds), 2)}
    row |= {
        "rows_per_s": round(rows / median(seconds)),
        "peak_mib": round(median(peaks)),
        "input_mib": file.stat().st_size >> 20,
    }
    print(row, flush=True)
    return row


def peak_of(asked: list[str]) -> float:
    """MiB that a process held at most."""
    process = subprocess.Popen(asked, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, asked
    process.returncode = 0
    return usage.ru_maxrss / 1024


def killed(folder: Path, way: str) -> dict[str, Any]:
    """Ten runs, each killed at a random moment and started again; how many end in the bytes of the unbroken run."""
    file, rng = made(folder, KILLED_ROWS), random.Random(1)
    whole = folder / f"whole-{way}.csv"
    start = time.perf_counter()
    subprocess.run(command(file, whole, way), check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    moments, same, went_on = [], 0, 0
    for i in range(KILLS):
        out = folder / f"killed-{way}-{i}.csv"
        process = subprocess.Popen(command(file, out, way), stderr=subprocess.DEVNULL)
        moments.append(round(rng.uniform(0.05, 0.98) * seconds, 2))
        try:
            process.wait(moments[-1])
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        again = subprocess.run(command(file, out, way), check=True, stderr=subprocess.PIPE, text=True)
        went_on += "resuming after row" in again.stderr
        same += filecmp.cmp(whole, out, shallow=False)
        print(way, moments[-1], "same" if same == i + 1 else "DIFFERENT", flush=True)
    row = {"rung": way, "rows": KILLED_ROWS, "seconds_unbroken": round(seconds, 2), "killed_at_s": moments}
    return row | {"kills": KILLS, "same_bytes": same, "went_on_after_rows": went_on}


if __name__ == "__main__":
    main()
