"""Gateways given by name: the last good address stays, whatever DNS does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from towpath.inventory import dns
from towpath.inventory.gateway_dns import GatewayResolver


class Names:
    """The answers of DNS, and how often the addresses changed."""

    def __init__(self, found: Mapping[str, set[str]], remembered: Mapping[str, str]) -> None:
        self.found: dict[str, set[str]] = dict(found)
        self.asked: list[str] = []
        self.changes = 0
        self.changed = asyncio.Event()
        self.resolver = GatewayResolver(self._changed, lambda name: remembered.get(name, ""), self._ask)

    def _changed(self) -> None:
        self.changes += 1
        self.changed.set()

    async def _ask(self, name: str) -> frozenset[str]:
        self.asked.append(name)
        return frozenset(self.found.get(name, ()))


@pytest.mark.parametrize(
    ("first", "later", "address", "changes"),
    [
        pytest.param({"10.0.0.1"}, {"10.0.0.2"}, "10.0.0.2", 2, id="another address"),
        pytest.param(
            {"10.0.0.5", "10.0.0.7"},
            {"10.0.0.1", "10.0.0.5"},
            "10.0.0.5",
            1,
            id="of several the former one is kept",
        ),
        pytest.param({"10.0.0.1"}, set(), "10.0.0.1", 1, id="not found any more"),
    ],
)
async def test_a_name_is_looked_up_and_followed(
    first: set[str], later: set[str], address: str, changes: int
) -> None:
    names = Names({"gw": first}, {})
    names.resolver.want({"gw"})
    await names.resolver.refresh()
    names.found["gw"] = later
    await names.resolver.refresh()

    assert names.resolver.address("gw") == address
    assert names.changes == changes


@pytest.mark.parametrize("bad", ["127.0.0.1", "169.254.169.254", "224.0.0.1", "0.1.2.3", "240.0.0.1"])
async def test_an_unusable_answer_counts_as_not_found(bad: str) -> None:
    names = Names({"gw": {"10.0.0.1"}}, {})
    names.resolver.want({"gw"})
    await names.resolver.refresh()
    names.found["gw"] = {bad}
    with capture_logs() as logs:
        await names.resolver.refresh()

    assert names.resolver.address("gw") == "10.0.0.1"
    assert [line["event"] for line in logs] == ["gateway name not resolved"]
    names.found["gw"] = {bad, "10.0.0.2"}
    await names.resolver.refresh()
    assert names.resolver.address("gw") == "10.0.0.2"


@pytest.mark.parametrize(("remembered", "address"), [({"gw": "10.0.0.9"}, "10.0.0.9"), ({}, "")])
async def test_without_dns_after_a_restart_the_imported_address_stays(
    remembered: Mapping[str, str], address: str
) -> None:
    names = Names({}, remembered)
    names.resolver.want({"gw"})
    await names.resolver.refresh()

    assert names.resolver.address("gw") == address


async def test_a_new_name_is_asked_at_once_and_alone() -> None:
    names = Names({"a": {"10.0.0.1"}, "b": {"10.0.0.2"}}, {})
    names.resolver.want({"a"})
    await names.resolver.refresh()
    names.changed.clear()
    running = asyncio.create_task(names.resolver.run())
    names.resolver.want({"a", "b"})
    async with asyncio.timeout(10):
        await names.changed.wait()
    running.cancel()

    assert names.resolver.address("b") == "10.0.0.2"
    assert names.asked == ["a", "b"]


async def test_a_name_that_is_not_wanted_is_forgotten() -> None:
    names = Names({"a": {"10.0.0.1"}, "b": {"10.0.0.2"}}, {})
    names.resolver.want({"a"})
    await names.resolver.refresh()
    names.resolver.want({"b"})
    await names.resolver.refresh()

    assert names.resolver.address("a") == ""


async def test_names_are_really_looked_up() -> None:
    assert await dns.addresses("localhost") == {"127.0.0.1"}
    assert await dns.addresses("no-such-name.invalid") == frozenset()


async def test_a_name_that_stays_unfound_is_reported_once() -> None:
    names = Names({}, {})
    names.resolver.want({"gw"})
    with capture_logs() as logs:
        for _ in range(3):
            await names.resolver.refresh()
        names.found["gw"] = {"10.0.0.1"}
        await names.resolver.refresh()
        names.found.clear()
        await names.resolver.refresh()

    assert [entry["kept"] for entry in logs] == ["", "10.0.0.1"]
