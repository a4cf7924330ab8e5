"""From the model to the messages of the contract: pure functions, one a message."""

from __future__ import annotations

from collections.abc import Mapping

from towpath.advise import advise
from towpath.derive import Derived, why_not_importing
from towpath.model.cluster import Fleet, Member
from towpath.model.view import Endpoint, ImportPort, View
from towpath.model.world import ExportedService
from towpath.proto.v1alpha1 import plugin_pb2 as pb
from towpath.rules.reasons import Caution


def member_message(member: Member) -> pb.Member:
    """Return one member of the inventory."""
    return pb.Member(
        name=member.name,
        cluster_key=member.key,
        gateway_host=member.gateway_host,
        gateway_port=member.gateway_port,
        dialects=sorted(member.imports),
    )


def members_message(members: Mapping[str, Member]) -> pb.ListMembersResponse:
    """Return the inventory, sorted by name."""
    return pb.ListMembersResponse(members=[member_message(m) for _, m in sorted(members.items())])


def explanation(service: ExportedService, derived: Derived, fleet: Fleet) -> pb.ExplainResponse:
    """Return one derived service. ``fleet`` is what it was derived with."""
    key, members = service.key, fleet.members
    idle = {name: why_not_importing(service, derived, member, members) for name, member in members.items()}
    return pb.ExplainResponse(
        namespace=key.namespace,
        name=key.name,
        dialect=key.dialect,
        exporters=[pb.Exporter(cluster=name, cluster_key=members[name].key) for name in derived.exporters],
        excluded=[
            pb.Exclusion(cluster=name, reason=one.reason.value, text=one.text)
            for name, one in sorted(derived.excluded.items())
        ],
        importers=[importer(members[name], view) for name, view in sorted(derived.views.items())],
        not_importing=[
            pb.Exclusion(cluster=name, reason=reason.value, text=reason.text)
            for name, reason in sorted(idle.items())
            if reason is not None
        ],
        conditions=[
            pb.Condition(type=c.type, status=c.status, reason=c.reason, message=c.message)
            for c in derived.conditions
        ],
        warnings=[warning(one) for one in advise(service, derived, fleet)],
    )


def warning(one: Caution) -> pb.Warning:
    """Return something that surprises."""
    return pb.Warning(reason=one.reason.value, field=one.field, text=one.text)


def importer(member: Member, view: View) -> pb.Importer:
    """Return what a member imports."""
    return pb.Importer(
        cluster=member.name, cluster_key=member.key, ports=[_port(port) for port in view.ports]
    )


def _port(port: ImportPort) -> pb.Port:
    return pb.Port(
        port=port.port,
        protocol=port.protocol,
        name=port.name or "",
        app_protocol=port.app_protocol or "",
        endpoints=[_endpoint(endpoint) for endpoint in port.endpoints],
    )


def _endpoint(endpoint: Endpoint) -> pb.Endpoint:
    target = endpoint.target
    return pb.Endpoint(
        cluster_key=endpoint.cluster_key, host=target.host, ip=target.ip, port=target.port, path=target.path
    )
