"""The registration of the webhook in Karmada: its configurations and their storage."""
