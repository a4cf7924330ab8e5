"""Towpath's webhook: what the apiserver asks about objects before it stores them, answered without state.

``review`` is the envelope, ``clusters`` a rule, ``admission`` the table of rules by path, ``app`` the HTTP
side of it, ``server`` TLS and the process's life, and ``registration`` what tells an apiserver to ask.

It is a process of its own, because a busy controller beside it would cost it its response times, and it
knows of the plugin only ``towpath.errors``, ``towpath.model`` and ``towpath.rules``.
"""
