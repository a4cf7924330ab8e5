"""Benchmarks: each is a module to be run, measures next to a floor, and says what is met and missed."""
