"""The certificates of the webhook: when they are renewed, and the TLS context that serves them."""
