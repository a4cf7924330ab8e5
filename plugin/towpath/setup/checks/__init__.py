"""Checks of an installation: one gathering of evidence, and pure checks of it, one in each module.

``towpath check`` runs them before and after an installation. A check yields what it finds; one that does not
apply yields nothing.
"""
