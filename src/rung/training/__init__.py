"""The only place where weights change: from a backbone to a new one."""
