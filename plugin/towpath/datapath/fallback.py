"""What answers under ActiveActive while no gateway of another cluster does: the pods of the cluster itself.

kube-proxy gives local pods and Envoy their parts of the connections, whether or not Envoy reaches any other
cluster. So the last endpoint of an imported port is the member's own gateway, if the member exports the port:
it has the same pods behind it, and the same path.
"""

from __future__ import annotations

from collections.abc import Sequence

from towpath.datapath.allocation import claims_of
from towpath.datapath.shares import Share
from towpath.datapath.world import MemberExport, Settings
from towpath.model.export import PREFIX
from towpath.model.keys import ServiceKey
from towpath.model.view import Endpoint, ImportPort, Target

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where Envoy listens on every address


def own_paths(
    key: ServiceKey,
    ports: Sequence[ImportPort],
    export: MemberExport | None,
    holders: Sequence[ServiceKey],
) -> tuple[str | None, ...]:
    """Return the path of each port at the member's own gateway, None where it has none.

    ``holders`` has the holder of the path of each rule of the export.
    """
    if export is None:
        return (None,) * len(ports)
    paths: dict[int, str] = {}
    for rule, claim, holder in zip(export.export.rules, claims_of(export), holders, strict=True):
        if claim.kind == PREFIX and holder == key:
            paths.setdefault(rule.port_number, claim.path)
    return tuple(paths.get(port.port) for port in ports)


def with_own_gateway(used: Sequence[Share], path: str | None, settings: Settings) -> tuple[Share, ...]:
    """Return the shares of a port, and after all of them the own gateway if it has a path."""
    if path is None or not used:
        return tuple(used)
    address = _LOOPBACK.get(settings.bind, settings.bind)
    target = Target(host=address, ip=address, port=settings.gateway_port, path=path)
    last = max(share.priority for share in used) + 1
    return (*used, Share(Endpoint(cluster_key="", target=target), last, 1))
