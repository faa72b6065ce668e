"""What several ways to run a model share; a file here is no way by itself."""
