"""Orphaned bindings: a binding that a former template left behind is given to the present one."""
