"""Comparison of settings by cross-validation, and hyperparameter search."""
