"""The data path of one member, worked out: what its node proxies (Envoy) and its EndpointSlices have to be.

Nothing here does I/O. ``derive`` turns the world of one member, as its own apiserver holds it, into Envoy
resources and EndpointSlices; ``towpath.net`` reads that world and carries the result out.
"""
