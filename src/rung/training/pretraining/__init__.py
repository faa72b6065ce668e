"""Language models that read a person's own texts: continued pretraining, or a small model from nothing."""
