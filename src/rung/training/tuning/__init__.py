"""Encoders that learn from labelled texts: one task or several at once."""
