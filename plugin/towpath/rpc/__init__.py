"""The plugin's gRPC face: what ``proto/towpath/proto/v1alpha1`` promises.

``convert`` turns derivations into messages; ``planner``, ``inventory`` and ``reviewer`` answer the calls of
the services of these names, ``service_lookup`` finds the service that is meant and ``watching`` tells of its
changes, ``health`` says whether anything is answered. ``interceptor`` stands around every call, ``errors``
says what is wrong with one. ``server`` serves it all on a unix socket and with ``credentials`` on a port,
``socketfile`` takes care of the socket's file, and ``client`` asks. No knowledge of its own.
"""
