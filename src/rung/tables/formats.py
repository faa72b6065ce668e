"""Which format a file has: by its name, unless the person says."""

from __future__ import annotations

from pathlib import Path

from rung.errors import UserError, nearest

FORMATS = ("csv", "tsv", "txt", "jsonl", "parquet")
_BY_ENDING = {**{f".{name}": name for name in FORMATS}, ".ndjson": "jsonl"}
_KNOWN = ".csv .tsv .txt .jsonl .parquet (text formats also as .gz)"

_REFUSED = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), "a spreadsheet: rung reads CSV."),
    **dict.fromkeys((".docx", ".doc", ".odt", ".rtf", ".pdf"), "a document: rung reads tables and plain text."),
    **dict.fromkeys((".zip", ".7z", ".tar", ".tgz", ".bz2", ".xz", ".zst"), "an archive that rung does not open."),
    ".json": "JSON in one piece: rung reads JSON Lines, one object a line.",
}
_INSTEAD = {
    "a s": "In the spreadsheet: File, Save as, CSV UTF-8; then give that .csv",
    "a d": "Save it as plain text, one text a line, as .txt",
    "an ": "Unpack it first; .gz is read as it is",
    "JSO": "jq -c '.[]' {name} > {stem}.jsonl   (if it holds JSON Lines already: --format jsonl)",
}


def format_of(name: str, given: str | None = None) -> str:
    """The format of the file called `name`: one of FORMATS; `given` is what the person said with --format.

    Raises UserError for formats that are not known, with a clear word for spreadsheets, documents and .json.

    >>> format_of("tickets.CSV.gz"), format_of("-"), format_of("export.dat", "tsv")
    ('csv', 'csv', 'tsv')
    """
    if given is not None:
        return _checked(given)
    if name == "-":
        return "csv"
    path = Path(name.lower().removesuffix(".gz"))
    if path.suffix in _BY_ENDING:
        return _BY_ENDING[path.suffix]
    if path.suffix in _REFUSED:
        raise refused(name, path.suffix)
    ending = f"'{path.suffix}' is not an ending that rung knows" if path.suffix else "the name has no ending"
    raise UserError(f"{name}: {ending}; known are {_KNOWN}.", "Say what it is:  --format csv|tsv|txt|jsonl|parquet")


def output_format(path: Path) -> str:
    """The format in which a table is written to `path`, by its ending.

    Raises UserError where no table can be written so.
    """
    known = ".csv .tsv .jsonl .parquet (the first three also as .gz)"
    gz = path.name.lower().endswith(".gz")
    name = _BY_ENDING.get(Path(path.name.lower().removesuffix(".gz")).suffix)
    if name is None or name == "txt":
        raise UserError(f"--out {path}: a table is written as {known}.", f"--out {path.name.split('.')[0]}.csv")
    if name == "parquet" and gz:
        raise UserError(f"--out {path}: Parquet is compressed already.", f"--out {path.with_suffix('')}")
    return name


def refused(name: str, ending: str) -> UserError:
    """The clear word for a file that rung knows but does not read."""
    what = _REFUSED[ending]
    stem = Path(name).name.split(".")[0]
    return UserError(f"{name} is {what}", _INSTEAD[what[:3]].format(name=name, stem=stem))


def _checked(given: str) -> str:
    name = given.lower().removeprefix(".")
    name = "jsonl" if name == "ndjson" else name
    if name not in FORMATS:
        near = nearest(name, FORMATS)
        raise UserError(
            f"--format: '{given}' is not known; known are {', '.join(FORMATS)}.",
            f"--format {near}" if near else "--format csv|tsv|txt|jsonl|parquet",
        )
    return name
