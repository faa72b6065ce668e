"""Distillation: small, fast models that answer as a teacher does."""
