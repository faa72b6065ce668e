"""What a stopped run must have in common with this one to be resumed, and what a person is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.messages import message, tr

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier
    from rung.runs.resume import Run
    from rung.tables import Table


def run_facts(
    table: Table,
    classifier: Classifier,
    *,
    known: Sequence[str],
    saved: Path | None,
    options: Sequence[Any],
    calibration: Sequence[Any],
) -> dict[str, str]:
    """What the answers depend on, each as a hash: where one of them has changed, a stopped run is not resumed.

    known and calibration may hold columns of the table and names of files, saved is the folder of a saved classifier.
    """
    import rung
    from rung.cli.classifier_inputs import input_hash
    from rung.runs.resume import value_hash

    parameters = {
        name: value
        for name, value in classifier.get_params(deep=False).items()
        if name not in ("labels", "backbone", "geometry", "cache")
    }
    backbones = (classifier.loaded_backbone, classifier.geometry_backbone)
    return {
        message("the input"): input_hash(table, classifier),
        message("its column of texts"): table.text_column,
        message("the known labels"): _hash_of_sources(known, table),
        message("the calibration"): _hash_of_sources(calibration, table),
        message("the labels"): value_hash(classifier.parsed_labels().as_list()),
        message("the backbone"): value_hash([(each.fingerprint, each.numerics) for each in backbones]),
        message("the options"): value_hash([parameters, *options]),
        message("the classifier"): "" if saved is None else _hash_of_folder(saved),
        message("the version of rung"): rung.__version__,
    }


def _hash_of_sources(sources: Sequence[Any], table: Table) -> str:
    """A hash of values, of names of columns, and of the content of files."""
    from rung.runs.resume import file_hash, value_hash

    return value_hash(
        [file_hash(Path(each)) if isinstance(each, str) and each not in table.columns else each for each in sources]
    )


def _hash_of_folder(folder: Path) -> str:
    from rung.runs.resume import file_hash, value_hash

    return value_hash([file_hash(path) for path in sorted(folder.rglob("*")) if path.is_file()])


def resume_notes(run: Run) -> list[str]:
    """Whether a stopped run is resumed, and if not, what has changed since then."""
    if run.changed:
        changed = tr(" and ").join(map(tr, run.changed))
        return [
            tr(
                "an earlier run was stopped here; {changed} changed since then, so this run starts anew",
                changed=changed,
            )
        ]
    if run.resumed:
        return [tr("resuming after row {row:,} of the run that was stopped", row=run.resumed)]
    return []
