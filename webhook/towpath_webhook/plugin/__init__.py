"""The gRPC client of the plugin."""
