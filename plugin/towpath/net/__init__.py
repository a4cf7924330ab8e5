"""The agent of the data path, ``towpath serve net``: one beside the Envoy of each node of a member.

It watches what Karmada has brought to its own member, and that member's Services and EndpointSlices;
``towpath.datapath`` works out what has to be. Envoy gets its part over the discovery protocol (ADS) on a
unix socket, and the member's apiserver gets the EndpointSlices by which Services lead to Envoy. Envoy keeps
serving while the agent is down, and the agent keeps the last state while the apiserver is down.
"""
