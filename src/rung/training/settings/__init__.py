"""Comparing settings of a training on labels held out."""
