"""Running the controller: reflectors fill the inventory, touched services are due, workers reconcile them.

Nothing is written before everything has been listed once: half a world would derive half the endpoints.
"""

from __future__ import annotations

import asyncio
import math
import time

import structlog

from towpath import garbage
from towpath.controller.inventory import Inventory
from towpath.controller.queue import Queue
from towpath.controller.reconcile import Reconciler
from towpath.errors import ApiError
from towpath.karmada.client import Client
from towpath.model.keys import ServiceKey

log = structlog.get_logger()
WORKERS = 8
"""Services written at the same time. Writes of one service follow one another in any case."""


class Controller:
    """One run of the controller. ``inventory`` is there to be read beside it, once it is synced."""

    def __init__(self, client: Client) -> None:
        self._queue: Queue[ServiceKey] = Queue()
        self.inventory = Inventory(client, self._queue.add, self._returned)
        self._reconciler = Reconciler(client, self.inventory)

    def _returned(self) -> None:
        """A member is reached again: look at what waited for it."""
        for key in self._reconciler.convergence.lagging:
            self._queue.add(key)

    async def run(self) -> None:
        """Keep everything derived until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self.inventory.reflectors:
                tasks.create_task(reflector.run())
            await self.inventory.synced()
            garbage.keep()
            world = self.inventory.world
            log.info("in sync", services=len(world.services), members=sorted(world.fleet.members))
            for _ in range(WORKERS):
                tasks.create_task(_work(self._queue, self._reconciler))


async def _work(queue: Queue[ServiceKey], reconciler: Reconciler) -> None:
    while True:
        key = await queue.get()
        try:
            look_again = await reconciler.reconcile(key)
        except ApiError as error:
            pause = queue.failed(key)
            log.warning("will try again", service=str(key), error=str(error), pause=pause)
        else:
            queue.done(key)
            if look_again is not None and look_again < math.inf:
                queue.add_later(key, max(0.0, look_again - time.time()))
