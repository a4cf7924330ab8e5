"""What the webhook and Karmada ask: admission warnings and the status of an export."""
