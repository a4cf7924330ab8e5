"""The world in memory: what reflectors read, combined into the input of a derivation."""
