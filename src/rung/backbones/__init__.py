"""Frozen pretrained models, one file for each kind of model; `load` finds the class for a name."""

from rung.backbones.loading import load

__all__ = ["load"]
