"""Fine-tuning of encoders on labelled texts, for one task or for several at once."""
