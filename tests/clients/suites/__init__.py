"""The suites: each a module with `run(suite)`."""
