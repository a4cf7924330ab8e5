"""Version ``v1alpha1`` of the contract. What it means is in ``plugin.proto``."""
