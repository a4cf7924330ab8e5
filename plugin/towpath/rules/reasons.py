"""Why a cluster does not export a service: every reason there is, with the text that users read."""

from __future__ import annotations

from enum import StrEnum


class Excluded(StrEnum):
    """A reason, and in its docstring-like ``text`` what it means and what to do."""

    text: str

    def __new__(cls, value: str, text: str) -> Excluded:
        """Attach the text to the member."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    NOT_A_MEMBER = "NotAMember", "Karmada has no member of that name"
    SERVICE_NOT_BOUND = (
        "ServiceNotBound",
        "the Service is not propagated to this cluster: check its PropagationPolicy",
    )
    EXTERNAL_NAME = "InvalidServiceType", "a Service of type ExternalName has no endpoints to export"
    NO_MATCHING_PORT = "NoMatchingPort", "no rule of the ServiceExport names a port of the Service"
    NO_GATEWAY = (
        "NoGateway",
        "no gateway is known for this cluster: annotate it with towpath.io/gateway or add a flomesh Cluster",
    )
    GATEWAY_NOT_IPV4 = (
        "GatewayNotIPv4",
        "FSM connects to IPv4 addresses only: give the gateway's IPv4 address",
    )
