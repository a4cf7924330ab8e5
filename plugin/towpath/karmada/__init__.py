"""The only I/O with a Karmada apiserver: client, discovery, reflectors, and server-side apply."""
