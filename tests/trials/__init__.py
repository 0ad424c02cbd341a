"""Trials of long breath: foreign services, breaker, reloads, crashes; run by `tests/clients/run`."""
