"""What ``towpath verify`` says of a real gateway: the program of its pod calls, and failures have reasons."""

from __future__ import annotations

import asyncio
import json

from tests.datapath.conftest import Fleet
from tests.support.envoys import loopback
from tests.support.members import export, key, service, serving
from towpath.rules.reasons import CallReason
from towpath.verification import probe
from towpath.verification.judge import judge
from towpath.verification.plan import Call, Pair


async def reason(target: str) -> CallReason | None:
    """Make a call, and judge it."""
    answer = await asyncio.to_thread(probe.call, target, 5.0)
    (outcome,) = judge(
        [Call(Pair("shop/web", "cluster-2", "cluster-1", 80), target)], json.dumps(answer).encode()
    )
    return outcome.reason


async def test_each_failure_of_a_gateway_has_its_reason(fleet: Fleet) -> None:
    gateway = f"{fleet.first.address}:{fleet.first.settings.gateway_port}"
    assert await reason(f"GET {gateway} /web/") is None
    assert await reason(f"GET {gateway} /other/") is CallReason.NO_ROUTE

    await fleet.first.apply(serving(key(), export()))
    assert await reason(f"GET {gateway} /web/") is CallReason.NO_READY_POD

    await fleet.first.apply(serving(key(), export(), loopback()))
    assert await reason(f"GET {gateway} /web/") is CallReason.POD_NOT_REACHED

    await fleet.first.kill_envoy()
    assert await reason(f"GET {gateway} /web/") is CallReason.NO_ANSWER


async def test_a_tunnel_is_called_by_the_name_of_its_port(fleet: Fleet) -> None:
    gateway = f"{fleet.first.address}:{fleet.first.settings.gateway_port}"
    database = loopback()
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), database, 9000)
    own, rules = service(5432, names=["tcp-db"]), [{"portNumber": 5432, "path": "/db"}]
    world = serving(key("db"), export(rules=rules), database, port_name="tcp-db", service=own)
    await fleet.first.apply(world)

    assert await reason(f"CONNECT {gateway} db.shop.tunnel.towpath.io:5432") is None
    assert await reason(f"CONNECT {gateway} db.shop.tunnel.towpath.io:5433") is CallReason.NO_ROUTE
    server.close()
