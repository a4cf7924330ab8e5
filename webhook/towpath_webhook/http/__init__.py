"""The HTTPS server: listener, connection protocol, ASGI application, and the dispatch of requests to
rules."""
