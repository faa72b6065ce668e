"""How many labels agree with the truth column of a classified file, with a 95 % interval."""

import csv
import sys
from pathlib import Path

from rung.evaluation import interval

with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
    rows = [row for row in csv.DictReader(file) if row["label"]]
right = sum(row["label"] == row["truth"] for row in rows)
low, high = interval(right, len(rows))
print(f"{right} of {len(rows)} labels agree with the column truth: {right / len(rows):.0%} [{low:.0%}, {high:.0%}]")
