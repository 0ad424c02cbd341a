"""What the suites share: an installation of the program, checks, denials, messages by reflection."""
