"""Training: the only room in which weights change. A training takes a backbone and returns a new one."""
