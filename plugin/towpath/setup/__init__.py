"""Installation into a Karmada and removal from it."""
