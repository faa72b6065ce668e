"""Frozen pretrained models: one file is one way to run one. `load` finds the way for a name."""

from rung.backbones.loading import load

__all__ = ["load"]
