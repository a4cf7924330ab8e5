"""The HTTPS server: an ASGI application, its connection protocol, and the dispatch of questions."""
