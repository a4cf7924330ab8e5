"""A real Karmada on this machine: built from pinned Go modules, run as plain processes, no containers."""
