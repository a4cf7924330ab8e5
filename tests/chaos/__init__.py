"""Faults on a real Karmada, and the verdict on what is left after them: ``make chaos``."""
