"""The format of a file: by the ending of its name, unless --format is given."""

from __future__ import annotations

from pathlib import Path

from rung.errors import UserError, nearest
from rung.messages import message, tr

FORMATS = ("csv", "tsv", "txt", "jsonl", "parquet", "xlsx")
_BY_ENDING = {**{f".{name}": name for name in FORMATS}, ".ndjson": "jsonl", ".xlsm": "xlsx"}

_SPREADSHEET = (
    message("{name} is a spreadsheet in a format that rung does not read."),
    message("In the spreadsheet: File, Save as, .xlsx or CSV UTF-8; then give that file"),
)
_DOCUMENT = (
    message("{name} is a document: rung reads tables and plain text."),
    message("Save it as plain text, one text per line, as .txt"),
)
_ARCHIVE = (message("{name} is an archive that rung does not open."), message("Unpack it first; .gz is read as it is"))
_JSON = (
    message("{name} is one JSON document: rung reads JSON Lines, one object per line."),
    message("jq -c '.[]' {name} > {stem}.jsonl   (if it is JSON Lines already:  --format jsonl)"),
)
_REFUSED = {
    **dict.fromkeys((".xls", ".xlsb", ".ods", ".numbers"), _SPREADSHEET),
    **dict.fromkeys((".docx", ".doc", ".odt", ".rtf", ".pdf"), _DOCUMENT),
    **dict.fromkeys((".zip", ".7z", ".tar", ".tgz", ".bz2", ".xz", ".zst"), _ARCHIVE),
    ".json": _JSON,
}


def format_of(name: str, given: str | None = None) -> str:
    """The format of the file called `name`: one of FORMATS; `given` is the value of --format.

    Raises UserError for formats that are not known, and explains what to do with spreadsheets, documents and .json.

    >>> format_of("tickets.CSV.gz"), format_of("-"), format_of("export.dat", "tsv")
    ('csv', 'csv', 'tsv')
    """
    if given is not None:
        return _known_format(given)
    if name == "-":
        return "csv"
    path = Path(name.lower().removesuffix(".gz"))
    if path.suffix in _BY_ENDING:
        return _BY_ENDING[path.suffix]
    if path.suffix in _REFUSED:
        raise refused(name, path.suffix)
    raise UserError(
        "{name}: the ending '{ending}' is not known; known are .csv .tsv .txt .jsonl .parquet .xlsx (text formats also as .gz)."
        if path.suffix
        else "{name}: the name has no ending; known are .csv .tsv .txt .jsonl .parquet .xlsx (text formats also as .gz).",
        "Say what it is:  --format csv|tsv|txt|jsonl|parquet|xlsx",
        name=name,
        ending=path.suffix,
    )


def output_format(path: Path) -> str:
    """The format in which a table is written to `path`, by its ending.

    Raises UserError if no table can be written in it.
    """
    gz = path.name.lower().endswith(".gz")
    name = _BY_ENDING.get(Path(path.name.lower().removesuffix(".gz")).suffix)
    if name is None or name == "txt" or path.name.lower().endswith(".xlsm"):
        raise UserError(
            "--out {path}: a table is written as .csv .tsv .jsonl .parquet .xlsx (the first three also as .gz).",
            "--out {stem}.csv",
            path=path,
            stem=path.name.split(".")[0],
        )
    if name in ("parquet", "xlsx") and gz:
        raise UserError(
            "--out {path}: this format is compressed already.",
            "--out {plain}",
            path=path,
            plain=path.with_suffix(""),
        )
    return name


def refused(name: str, ending: str) -> UserError:
    """The error for a kind of file that rung knows but does not read."""
    what, hint = _REFUSED[ending]
    stem = Path(name).name.split(".")[0]
    return UserError(what, hint, name=name, stem=stem)


def _known_format(given: str) -> str:
    name = given.lower().removeprefix(".")
    name = "jsonl" if name == "ndjson" else name
    if name not in FORMATS:
        near = nearest(name, FORMATS)
        raise UserError(
            "--format: '{given}' is not known; known are {formats}.",
            (tr("--format {near}", near=near) if near else tr("--format csv|tsv|txt|jsonl|parquet|xlsx")),
            given=given,
            formats=", ".join(FORMATS),
        )
    return name
