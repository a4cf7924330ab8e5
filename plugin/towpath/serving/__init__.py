"""What every long-running process needs: health server, HOST:PORT, metric families, garbage collector
settings."""
