"""The configurations that register the webhook, and their storage in the apiserver."""
