"""`rung suggest`: which texts to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rung.errors import UserError
from rung.messages import tr, tr_n


def suggest(
    source: Annotated[str, typer.Argument(metavar="IN", help="A table, as for classify.")],
    labels: Annotated[str, typer.Option(help="a,b,c, or a file, or a ready-made set")],
    out: Annotated[Path, typer.Option(help="Where the texts go, with an empty column label.")] = Path("to-label.csv"),
    n: Annotated[int, typer.Option("-n", "--number", help="How many texts.")] = 20,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = None,
    known: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|FILE", help="Labels known already: a column of IN, or a file with text and label."
        ),
    ] = None,
    backbone: Annotated[str, typer.Option(help="A name of `rung models`, hf:owner/name, or a folder.")] = "auto",
    format: Annotated[str | None, typer.Option(help="How to read IN where its name does not say.")] = None,  # noqa: A002
    force: Annotated[bool, typer.Option("--force", help="Replace what is there already.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no embeddings on disk.")] = False,
) -> None:
    """Write the texts whose labels would help most, to be labelled by hand.

    Fill in the column label and hand the file back:  rung classify IN --labels … --known to-label.csv
    """
    import csv
    import io

    from rung.cli.classifier_inputs import about, of_images
    from rung.cli.classify import chosen_classifier, fit_on
    from rung.cli.display import say
    from rung.cli.known_labels import LABEL, Known
    from rung.tables import open_table

    if n < 1:
        raise UserError("suggest: {n} texts.", "Ask for at least one:  -n 20", n=n)
    _check_free(out, force=force)
    chosen = chosen_classifier(labels, None, backbone, {"cache": not no_cache})
    with open_table(source, text=text, format=format, of_images=of_images(chosen)) as table:
        texts, given = fit_on(table, Known(known, table), chosen, pool=True)
    places = chosen.suggest(about(texts, table, chosen), n, given if any(given) else None)
    page = io.StringIO()
    csv.writer(page, lineterminator="\n").writerows([("text", LABEL), *((texts[i], "") for i in places)])
    out.write_text(page.getvalue(), "utf-8", newline="")
    say(
        tr_n(
            "{n:,} text written to {out}: fill in the column {column} with {names}",
            "{n:,} texts written to {out}: fill in the column {column} with {names}",
            n=len(places),
            out=out,
            column=LABEL,
            names=", ".join(chosen.classes_[:12]),
        )
    )
    say(tr("next: rung classify {source} --labels {labels} --known {out}", source=source, labels=labels, out=out))


def _check_free(out: Path, *, force: bool) -> None:
    if not out.absolute().parent.is_dir():
        raise UserError(
            "--out {out}: the folder {parent} does not exist.", "mkdir -p {parent}", out=out, parent=out.parent
        )
    if out.is_dir():
        raise UserError(
            "--out {out} is a folder.", "Name a file in it:  --out {out_2}", out=out, out_2=out / "to-label.csv"
        )
    if out.exists() and not force:
        raise UserError("--out {out} exists already.", "It may hold labels. To replace it, add  --force", out=out)
