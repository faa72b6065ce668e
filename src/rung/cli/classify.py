"""`rung classify`: a file of texts in, the same file with labels out."""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rung.errors import UserError
from rung.messages import message, tr

if TYPE_CHECKING:
    from concurrent.futures import Future

    from rung.cli.calibration import KeptApart
    from rung.cli.known_labels import Known
    from rung.cli.summary import Tally
    from rung.decide.answer import Answer
    from rung.estimator.classifier import Classifier
    from rung.runs.resume import Run
    from rung.tables import Chunk, Output, Table

_NARROW = str.maketrans("，＝", ",=")
_AT_ONCE = 4096  # rows in memory at a time


def classify(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help=".csv .tsv .txt .jsonl .parquet .xlsx, text also .gz, or - for standard input"
        ),
    ],
    labels: Annotated[
        str | None, typer.Option(help="a,b,c, or a file (.txt .csv .xlsx .yaml .json), or a ready-made set")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the answers go; else standard output.")] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = None,
    backbone: Annotated[str, typer.Option(help="A name of `rung models`, hf:owner/name, or a folder.")] = "auto",
    geometry: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another model, which says where the texts lie.")
    ] = None,
    classifier: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Apply a saved classifier instead of --labels.")
    ] = None,
    save: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keep the classifier for other files.")] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN|FILE",
            help="Labels known already: a column of IN, or a file with text and label; may be given several times.",
        ),
    ] = None,
    no_pool: Annotated[
        bool, typer.Option("--no-pool", help="Answer every row by itself, from the labels alone.")
    ] = False,
    shares: Annotated[str | None, typer.Option(help="What is known of the labels' shares:  spam=0.1,ham=0.9")] = None,
    balanced: Annotated[bool, typer.Option("--balanced", help="All labels are about equally frequent.")] = False,
    reject: Annotated[
        str | None, typer.Option(metavar="auto|SHARE", help="Leave out the texts that belong to none of the labels.")
    ] = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="A text may have several labels, or none.")
    ] = False,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|FILE",
            help="Labels kept apart from --known, by which probabilities are made honest: a few dozen are a start.",
        ),
    ] = None,
    level: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Add the column labels: the set that holds the true label in this share of texts, as 0.9."
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(metavar="P", help="In a tree of labels: the answer is the deepest that is so probable; else 0.5."),
    ] = None,
    prefix: Annotated[str, typer.Option(help="Put before the names of the added columns.")] = "",
    long: Annotated[
        Literal["cut", "mean"],
        typer.Option(help="Texts beyond the model's maximum length: cut, or mean over their pieces."),
    ] = "cut",
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sheet of a workbook (.xlsx) that has several.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="How to read IN where its name does not say.")] = None,  # noqa: A002
    engine: Annotated[
        Literal["here", "ray"],
        typer.Option(help="Where texts are answered: in this process, or by actors of a Ray cluster."),
    ] = "here",
    explain: Annotated[
        bool, typer.Option("--explain", help="Add to the summary the figures that say why the texts counted or not.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there already.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no embeddings on disk.")] = False,
) -> None:
    """Label every text of a file, with a probability, offline.

    OUT keeps the columns of IN and adds label, probability and error. Answers are fitted on the rows of the file itself,
    unless --no-pool or --classifier is given; then every row's answer is independent of the others.
    """
    from rung.cli import display
    from rung.cli.calibration import added_columns, check_level, closing
    from rung.cli.classifier_inputs import of_images
    from rung.cli.known_labels import Known
    from rung.cli.option_rules import check_options, refuse_input_as_output
    from rung.cli.summary import Loop, Tally, closing_lines
    from rung.estimator.persistence import check_free
    from rung.runs.resume import Run
    from rung.tables import open_output, open_table

    start = time.perf_counter()
    check_options(context)
    refuse_input_as_output(out, {"--labels": [labels], "--known": known or (), "--calibrate": [calibrate]})
    settings: dict[str, Any] = {"long": long, "balanced": balanced, "multi_label": multi_label, "cache": not no_cache}
    settings |= {"shares": _shares(shares), "reject": _reject(reject), "geometry": geometry}
    chosen = chosen_classifier(labels, classifier, backbone, settings)
    if confidence is not None:
        chosen.set_params(confidence=_confidence(confidence, chosen))
    if long != "cut" and of_images(chosen):
        raise UserError(
            "--long does nothing with the backbone {name}: it reads images.", "Leave out --long.", name=backbone
        )
    if save is not None:
        check_free(save, force=force)
    if engine == "ray" and _is_afar(source):
        fit = classifier is None and not no_pool
        _afar(source, out, chosen, {"text": text or "text", "prefix": prefix, "fit": fit}, known)
        return
    check_level(level, chosen, calibrated_here=calibrate is not None)
    with open_table(source, text=text, format=format, sheet=sheet, of_images=of_images(chosen)) as table:
        told, tally = Known(known or (), table, chosen), Tally()
        apart = None if calibrate is None else _kept_apart(calibrate, table, told, chosen)
        facts = _facts(table, known or (), chosen, classifier, no_pool, [calibrate, level])
        with Run(out, facts, table.rows) as run:
            with open_output(out, table, added_columns(level), prefix=prefix, force=force, part=run.part) as writer:
                for line in (*_leaving(chosen), *_greeting(run)):
                    display.say(line)
                if classifier is None and (known or not no_pool):
                    chosen = _fitted(run, table, told, chosen, pool=not no_pool)
                if apart is not None:
                    apart.calibrate(chosen)
                _answer_all(table, told, chosen, run, tally, writer, engine, level)
            failed = None if save is None else _saved(chosen, save, run, force=force)
    saved = save if failed is None else None
    places = [str(out or tr("standard output")), *([tr("{folder} (the classifier)", folder=saved)] if saved else [])]
    seconds, kept = time.perf_counter() - start, saved or classifier
    same = same_options(labels, None, text, backbone, format, multi_label=multi_label)
    same |= {"--sheet": sheet, "--geometry": geometry}
    loop = Loop(source, same, known or (), told.remarks(learned=classifier is None))
    for line in closing_lines(
        tally,
        chosen,
        seconds=seconds,
        places=places,
        saved=kept,
        here=classifier is None,
        loop=loop,
        sets=closing(chosen, level),
        explain=explain,
    ):
        display.say(line)
    if failed is not None:
        raise failed


def _saved(classifier: Classifier, folder: Path, run: Run, *, force: bool) -> UserError | None:
    """Save the classifier; why that failed, with what to type. The answers are written by then, and the run is kept to resume."""
    try:
        classifier.save(folder, force=force)
    except UserError as error:
        if run.keep_folder():
            hint = tr(
                "Make room, then give the same command with --force: it takes the kept answers over, and saves again."
            )
        else:
            hint = tr("Make room, or name another folder with --save, and give the command again.")
        return UserError("{fault} The answers are written; the classifier is not.", hint, fault=error.what)
    return None


def _kept_apart(source: str, table: Table, told: Known, classifier: Classifier) -> KeptApart:
    """The labels of --calibrate, checked against those of --known."""
    from rung.cli.calibration import KeptApart
    from rung.cli.known_labels import Known

    texts, labels = sampled(table, Known([source], table, classifier), pool=False)
    learned, _ = sampled(table, told, pool=False)
    return KeptApart(source, table, texts, as_given(labels, classifier), learned)


def _answer_all(
    table: Table,
    told: Known,
    classifier: Classifier,
    run: Run,
    tally: Tally,
    writer: Output,
    engine: str,
    level: float | None,
) -> None:
    """An answer for every row: those of a run that was stopped as they are, then the others."""
    from rung.cli import display
    from rung.cli.classifier_inputs import faults

    with display.progress(table.rows, tr("classifying"), done=run.resumed) as advance:
        chunks = table.chunks(_AT_ONCE)

        def write(chunk: Chunk, answers: list[Answer]) -> None:
            tally.add(chunk.texts, answers, classifier)
            sets = [] if level is None else [[_listed(answer) for answer in answers]]
            writer.write(chunk, [*_columns(answers, faults(chunk, classifier)), *sets])

        for answers in run.answers():
            write(next(chunks), answers)
        for chunk, fresh in _answered(chunks, table, classifier, engine, advance, level):
            answers = told.heeded(chunk, fresh)
            run.append(answers)
            write(chunk, answers)


def _answered(
    chunks: Iterator[Chunk],
    table: Table,
    classifier: Classifier,
    engine: str,
    advance: Callable[[int], None],
    level: float | None,
) -> Iterator[tuple[Chunk, list[Answer]]]:
    """Each chunk with its answers, in their order; an engine may read some chunks ahead."""
    from rung.cli.classifier_inputs import about

    if engine == "here":

        def answer(chunk: Chunk) -> list[Answer]:
            return classifier.answers(about(chunk.texts, table, classifier), level=level, progress=advance)

        if any(each.costly for each in (classifier.loaded_backbone, classifier.geometry_backbone)):
            yield from ((chunk, answer(chunk)) for chunk in chunks)
        else:
            yield from _ahead(chunks, answer)
        return
    from rung.runs.distributed import answered

    waiting: deque[Chunk] = deque()

    def asked() -> Iterator[Sequence[Any]]:
        for chunk in chunks:
            waiting.append(chunk)
            yield about(chunk.texts, table, classifier)

    for answers in answered(asked(), classifier):
        advance(len(answers))
        yield waiting.popleft(), answers


def _ahead(chunks: Iterator[Chunk], answer: Callable[[Chunk], list[Answer]]) -> Iterator[tuple[Chunk, list[Answer]]]:
    """Each chunk with its answers, the next one being answered already while this one is written.

    Worth it where a backbone is as quick as reading and writing; with a costly one a stop would have to wait for the next chunk.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as worker:
        waiting: deque[tuple[Chunk, Future[list[Answer]]]] = deque()
        for chunk in chunks:
            waiting.append((chunk, worker.submit(answer, chunk)))
            if len(waiting) > 1:
                first, answers = waiting.popleft()
                yield first, answers.result()
        for first, answers in waiting:
            yield first, answers.result()


def _is_afar(source: str) -> bool:
    """Whether the input is Parquet that the cluster reads itself: a folder, a pattern, an object store."""
    return "://" in source or "*" in source or os.path.isdir(source)


def _afar(
    source: str, out: Path | None, classifier: Classifier, how: dict[str, Any], known: Sequence[str] | None
) -> None:
    """Parquet to Parquet, where the actors are."""
    from rung.cli import display
    from rung.runs.distributed import classify_parquet

    if known:
        raise UserError(
            "classify --engine ray: --known is for one file that lies here.",
            "Leave --known out, or read one file:  rung classify messages.parquet --engine ray",
        )
    if out is None:
        raise UserError("classify --engine ray: a folder for the answers is missing.", "Give  --out FOLDER")
    target = (
        str(out).replace(":/", "://", 1) if ":/" in str(out) else str(out)
    )  # as it was before it was taken for a path
    try:
        answered = classify_parquet(source, target, classifier, **how)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            tr(
                "stopped; {out} may hold a part of the answers.\n  This cannot be resumed: remove the folder, and begin anew.",
                out=target,
            )
        ) from None
    backbone = answered.loaded_backbone.name
    display.say(
        tr("rung {rung}, backbone {backbone} · written to {out}", rung=answered.rung_, backbone=backbone, out=target)
    )


def _fitted(run: Run, table: Table, told: Known, classifier: Classifier, *, pool: bool) -> Classifier:
    """The classifier fitted on the table, or as the run before had fitted it."""
    import warnings

    from rung.inference.language import LanguageWarning

    if run.classifier is not None:
        again = type(classifier).load(run.classifier, backbone=classifier.backbone)
        again.set_params(cache=classifier.cache)
        return again
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LanguageWarning)  # the summary says it, of all rows
        texts, _ = fit_on(table, told, classifier, pool=pool)
    if texts:
        run.save_classifier(classifier)
    return classifier


def _facts(
    table: Table,
    known: Sequence[str],
    classifier: Classifier,
    saved: Path | None,
    no_pool: bool,
    calibration: list[Any],
) -> dict[str, str]:
    """What the answers hang on, each as a hash: another answer to any of these, and a stopped run begins anew."""
    import rung
    from rung.cli.classifier_inputs import of_input
    from rung.runs.resume import file_hash, value_hash

    parameters = classifier.get_params(deep=False)
    options = {
        name: value for name, value in parameters.items() if name not in ("labels", "backbone", "geometry", "cache")
    }
    backbones = [
        (each.fingerprint, each.numerics) for each in (classifier.loaded_backbone, classifier.geometry_backbone)
    ]
    return {
        message("the input"): of_input(table, classifier),
        message("its column of texts"): table.text_column,
        message("the known labels"): value_hash(
            [each if each in table.columns else file_hash(Path(each)) for each in known]
        ),
        message("the calibration"): value_hash(
            [
                file_hash(Path(each)) if isinstance(each, str) and each not in table.columns else each
                for each in calibration
            ]
        ),
        message("the labels"): value_hash(classifier.parsed_labels().as_list()),
        message("the backbone"): value_hash(backbones),
        message("the options"): value_hash([options, no_pool]),
        message("the classifier"): "" if saved is None else value_hash([file_hash(path) for path in _files(saved)]),
        message("the version of rung"): rung.__version__,
    }


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _leaving(classifier: Classifier) -> list[str]:
    """Where texts go that leave this machine."""
    host = getattr(classifier.loaded_backbone, "host", None)
    return [] if host is None else [tr("the texts are sent to {host}, which answers for them", host=host)]


def _greeting(run: Run) -> list[str]:
    """What a person should know of a run that was stopped before."""
    if run.changed:
        changed = tr(" and ").join(map(tr, run.changed))
        return [tr("a run was stopped here; since then {changed} changed, so it begins anew", changed=changed)]
    if run.resumed:
        return [tr("going on after row {row:,} of the run that was stopped", row=run.resumed)]
    return []


def fit_on(table: Table, told: Known, classifier: Classifier, *, pool: bool) -> tuple[list[str], list[str | None]]:
    """Fit on the rows of the table, or on a sample of them, and on the labels that are known; the texts and labels used."""
    from rung.cli import display
    from rung.cli.classifier_inputs import about
    from rung.inference.label_inputs import ContradictionWarning

    texts, labels = sampled(table, told, pool=pool)
    if texts:
        with display.progress(len(texts), tr("learning")) as advance:
            y = as_given(labels, classifier) if any(labels) else None
            with warnings.catch_warnings():  # they are told already, with the lines of the person's own files
                warnings.simplefilter("ignore", ContradictionWarning)
                classifier.fit(about(texts, table, classifier), y, progress=advance)
    return texts, labels


def sampled(
    table: Table, told: Known, *, pool: bool = True, size: int | None = None
) -> tuple[list[str], list[str | None]]:
    """Texts of the table, all of them or a sample of the usual size or of `size`, and the label of each that is known.

    Labelled texts are always among them, also those of elsewhere; without `pool` they are all.
    """
    from rung.runs.sampling import Sample

    kept = Sample() if size is None else Sample(size)
    met: set[tuple[str, str]] = set()
    for chunk in table.chunks(_AT_ONCE):
        rows = zip(chunk.texts, told.of(chunk), strict=True)
        wanted = [(text, label) for text, label in rows if text and text.strip() and (pool or label)]
        kept.add((text for text, _ in wanted), (label for _, label in wanted))
        met |= {(text, label) for text, label in wanted if label}
    for text, label in told.elsewhere(met):
        kept.add([text], [label])
    return kept.rows()


def as_given(labels: Sequence[str | None], classifier: Classifier) -> list[Any]:
    """Known labels as the classifier takes and gives them, in their own type: with multi_label a tuple of names a text."""
    from rung.cli.known_labels import SEPARATOR

    index = classifier.parsed_labels().index
    if not classifier.multi_label:
        return [index.named(each) for each in labels]
    return [
        None if each is None else tuple(index.named(name) for name in map(str.strip, each.split(SEPARATOR)) if name)
        for each in labels
    ]


def chosen_classifier(
    labels: str | None, saved: Path | None, backbone: str, settings: dict[str, Any], *, command: str = "classify"
) -> Classifier:
    """The classifier that was asked for, its labels and backbone checked before any file is read."""
    if labels is not None and saved is not None:
        raise UserError(
            "{command}: both --labels and --classifier are given.",
            "Give one of  --labels billing,bug  or  --classifier FOLDER",
            command=command,
        )
    if labels is None and saved is None:
        raise UserError(
            "{command}: no labels are given.",
            "Name them, as in  --labels billing,bug  or give a saved classifier:  --classifier FOLDER   (rung {command} --help)",
            command=command,
        )
    from rung.estimator.classifier import Classifier

    if saved is not None:
        chosen = Classifier.load(saved, backbone=None if backbone == "auto" else backbone)
        chosen.set_params(cache=settings["cache"])
        return chosen
    from rung.labels import read_labels

    chosen = Classifier(read_labels(str(labels)), backbone=backbone, **settings)
    chosen.check()
    return chosen


def same_options(
    labels: str | None,
    saved: Path | None,
    text: str | None,
    backbone: str,
    format: str | None,  # noqa: A002 - its flag
    *,
    multi_label: bool,
) -> dict[str, str | bool | None]:
    """The options that suggest and classify have in common, as they were given, for the next command of the loop."""
    return {
        "--labels": labels,
        "--classifier": None if saved is None else str(saved),
        "--text": text,
        "--backbone": None if backbone == "auto" else backbone,
        "--format": format,
        "--multi-label": multi_label,
    }


def _shares(given: str | None) -> dict[str, float] | None:
    """`spam=0.1,ham=0.9` as a mapping; the wide comma and sign of Chinese are read too."""
    if given is None:
        return None
    pairs = [part.rpartition("=") for part in given.translate(_NARROW).split(",")]
    try:
        shares = [(name.strip(), float(share)) for name, _, share in pairs]
    except ValueError:
        shares = []
    if not shares or not all(name and isfinite(share) for name, share in shares):
        raise UserError("--shares: {given!r} cannot be read.", "Write  --shares spam=0.1,ham=0.9", given=given)
    if twice := next((name for name, _ in shares if [each for each, _ in shares].count(name) > 1), None):
        raise UserError("shares: {name!r} is given twice.", "Give every label once.", name=twice)
    return dict(shares)


def _confidence(given: float, classifier: Classifier) -> float:
    """The probability that an answer in a tree has to have. Raises UserError without a tree, and for what is no probability."""
    if not classifier.parsed_labels().is_tree:
        raise UserError(
            "--confidence does nothing without a tree of labels.",
            "Leave it out, or give labels with parents:  a column parent in a .csv, children in a .yaml",
        )
    if not 0 <= given <= 1:
        raise UserError(
            "--confidence: got {confidence}.", "Give a probability from 0 to 1, such as 0.5.", confidence=given
        )
    return given


def _reject(given: str | None) -> Any:
    try:
        return given if given in (None, "auto") else float(str(given))
    except ValueError:
        raise UserError(
            "--reject: {given!r} is neither auto nor a share.", "Write  --reject 0.1  or  --reject auto", given=given
        ) from None


def _columns(answers: list[Answer], reasons: list[str | None]) -> list[list[Any]]:
    """The three added columns: a number that people read has four digits; a row without a label says why."""
    from rung.cli.known_labels import SEPARATOR
    from rung.decide.answer import GIVEN

    given = tr("none of these, as given")
    return [
        [
            SEPARATOR.join(map(str, answer.label)) if isinstance(answer.label, tuple) else answer.label
            for answer in answers
        ],
        [None if answer.probability is None else round(answer.probability, 4) for answer in answers],
        [
            why or (None if answer.label is not None else given if answer.rung == GIVEN else answer.reason)
            for why, answer in zip(reasons, answers, strict=True)
        ],
    ]


def _listed(answer: Answer) -> str | None:
    """The set of labels of a text in one cell; of a given label, that label."""
    from rung.cli.known_labels import SEPARATOR
    from rung.decide.answer import GIVEN

    held = answer.label if answer.rung == GIVEN else answer.label_set
    return SEPARATOR.join(map(str, held)) if isinstance(held, tuple) else None if held is None else str(held)
