"""Pretraining of language models on a person's own texts: continued from a model, or from scratch."""
