"""What several kinds of backbone share; no file here is a backbone by itself."""
