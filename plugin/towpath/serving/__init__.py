"""What every long-running process needs: health server, metric families, garbage collector settings."""
