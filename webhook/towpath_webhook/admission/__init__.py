"""Admission rules and answers to Karmada's resource interpreter. Every module is pure."""
