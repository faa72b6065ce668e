"""From a classifier to what is saved of it, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.backbones.loading import spelled
from rung.errors import UserError
from rung.estimator import persistence
from rung.estimator.parameters import as_python_scalar
from rung.evidence import Backbone

# Parameters that are saved as they are. Labels, backbones and shares have a form of their own; the cache belongs to the machine.
_SETTINGS = ("length", "shortlist", "long", "balanced", "multi_label", "reject", "confidence")


def save(classifier: Any, folder: Path, *, force: bool) -> None:
    """Write a `Classifier` into a folder. Raises UserError for one without label names, and for a folder that is in use."""
    if classifier.knows_numbers_only:
        raise UserError(
            "save: the classifier was fitted on a matrix without label names, so it has no backbone to be loaded with.",
            "Give label names and texts, or a backbone's embeddings with labels=[...].",
        )
    persistence.write(state_of(classifier), folder, model=classifier.loaded_backbone, force=force)


def state_of(classifier: Any) -> persistence.Saved:
    """All that has to be saved of a `Classifier`."""
    geometry, parameters = classifier.geometry_backbone, classifier.get_params(deep=False)
    settings = {name: as_python_scalar(parameters[name]) for name in _SETTINGS}
    return persistence.Saved(
        rung=classifier.rung_,
        labels=classifier.parsed_labels().as_list(),
        settings=settings | {"shares": classifier.shares_by_label},
        backbone=persistence.BackboneIdentity.of(classifier.loaded_backbone),
        geometry=persistence.BackboneIdentity.of(geometry),
        geometry_asked=None if classifier.geometry is None else spelled(geometry),
        label_arrays=persistence.label_arrays(classifier.label_evidence()),
        learned=classifier.learned,
    )


def load(kind: type[Any], folder: Path, backbone: str | Backbone | None) -> Any:
    """A classifier of the class `kind` as it was saved. Raises UserError for a backbone with another fingerprint."""
    saved = persistence.read(folder)
    chosen = persistence.own_model(saved, folder) if backbone is None else backbone
    made = kind(saved.labels, backbone=chosen, geometry=saved.geometry_asked, **saved.settings)
    saved.backbone.check(made.loaded_backbone, folder)
    saved.geometry.check(made.geometry_backbone, folder)
    made.set_label_evidence(saved.label_evidence(made.geometry_backbone))
    vars(made).update(saved.learned)
    return made
