"""Orphaned bindings: a binding of a former template is given to the present one."""
