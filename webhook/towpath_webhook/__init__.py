"""Towpath's webhook: it answers the apiserver about objects before they are stored, and Karmada about their
status.

It has no state of its own. ``admission`` decides, ``http`` serves, ``certificates`` and ``registration`` keep
certificates and webhook configurations valid, and ``plugin`` asks the plugin what needs more than one object.

It is a process of its own, because a busy controller in the same process would add to its response times. It
imports only the gRPC API, ``model``, ``rules`` and what every process needs from the plugin."""
