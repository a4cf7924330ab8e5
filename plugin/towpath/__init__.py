"""Towpath: multi-cluster services for Karmada.

Users write ServiceExports and GlobalTrafficPolicies to the Karmada apiserver; Towpath derives
what each member cluster imports and lets Karmada carry it there. ARCHITECTURE.md has the map.
"""

__version__ = "0.1.0"
