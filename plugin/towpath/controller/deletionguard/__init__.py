"""The deletion guard: a limit on how many imports are removed at once."""
