"""A classifier as one graph that runs without rung."""
