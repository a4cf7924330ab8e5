"""Benchmarks: each is a module to be run, measures next to a floor, and reports the goals that it meets."""
