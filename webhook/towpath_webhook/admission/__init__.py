"""The rules of admission and the answers to Karmada. Every module is pure."""
