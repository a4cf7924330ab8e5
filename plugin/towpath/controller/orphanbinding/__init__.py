"""Orphaned bindings: one that a former template left goes to the present one, or to the garbage collector."""
