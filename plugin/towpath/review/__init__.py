"""What the webhook asks the plugin: warnings about a change, and the status of an export for Karmada."""
