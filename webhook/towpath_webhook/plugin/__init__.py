"""The connection to the plugin."""
