"""From evidence to a log posterior over labels: one file is one idea, its formula in the docstring. Never torch here."""
