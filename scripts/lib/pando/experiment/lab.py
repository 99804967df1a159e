# SPDX-License-Identifier: BSD-2-Clause
"""What the measurements need of a running Pando, beyond what its own module offers."""

import asyncio
import contextlib
import time

from .. import deploy as deployment
from .. import load
from ..errors import PandoError

BOOT_LIMIT_S = 120
ANSWER_LIMIT_S = 60
BUSY_RETRIES = 1000  # minutes
CONCURRENCY = 200  # requests in flight: a port takes 256


class Lab:
    """One Pando and the functions deployed in it. `say(text)` tells of steps, `new_progress(what)` draws a bar."""

    def __init__(self, pando, say, new_progress):
        self.pando, self.say, self._new_progress = pando, say, new_progress
        self._step, self._bar = "", None

    def progress(self, what, n, of):
        """Step `what` has come to `n` of `of`: a bar for whoever watches a terminal, else one line for each step."""
        if what != self._step:
            self._step, self._bar = what, self._new_progress(what)
            if not self._bar.wanted:
                self.say(what)
        self._bar(n, of)
        if n >= of:
            self._bar.clear()

    # ---- functions

    async def build(self, wanted):
        """The guest of a function; it is built once."""
        return await asyncio.to_thread(deployment.guest_of, self._deployment(wanted))

    @staticmethod
    def _deployment(wanted, **options):
        options = {"memory": wanted.memory or None} | options
        return deployment.Deployment(wanted.name, wanted.runtime, str(wanted.handler), files=list(wanted.files), **options)

    async def deploy(self, wanted, **options):
        """Options: those of deploy.Deployment."""
        await deployment.deploy(self.pando, self._deployment(wanted, **options))

    async def remove(self, wanted):
        """The function, its template, and what still lives of it."""
        template = (await self.pando.function(wanted.name))["template"]
        await self.pando.remove_function(wanted.name)
        for vm in await self.pando.vms(template):
            with contextlib.suppress(PandoError):
                await self.pando.kill(vm["name"])

    async def set_function(self, name, **options):
        """Its way of serving calls; the template stays. Returns when the VMs that it keeps ready are ready."""
        await self.pando.set_function(name, (await self.pando.function(name))["template"], **options)
        end = time.monotonic() + BOOT_LIMIT_S
        while (await self.pando.function(name))["ready"] < options.get("warm", 0):
            if time.monotonic() > end:
                raise PandoError(f"{name}: its {options['warm']} VMs are not ready after {BOOT_LIMIT_S} s")
            await asyncio.sleep(0.01)

    # ---- calls

    async def invoke(self, name, data):
        """One call, asked again while Pando is busy."""
        return await load.persist(self.pando, name, data, BUSY_RETRIES)

    async def invoke_many(self, name, data, n):
        """n calls at once, as far as one connection can carry them; the first that failed is raised."""
        many = await self.pando.invoke_many(name, data, n, CONCURRENCY)
        if many.errors:
            raise many.errors[0]
        return many.calls

    async def cold_call(self, wanted):
        """Boots a VM for one call and kills it: ns from the order to boot until its answer, as the host sees it."""
        vm, initrd = f"{wanted.name}-cold", f"{wanted.name}-cold.initrd"
        guest = await self.build(wanted)
        await self.pando.put_image(initrd, guest.initrd)
        try:
            async with self.pando.events() as events:
                begin = time.monotonic_ns()
                options = {"memory": guest.memory, "vcpus": guest.vcpus, "bootargs": guest.bootargs}
                await self.pando.boot(vm, kernel=deployment.KERNEL, initrd=initrd, wait=BOOT_LIMIT_S * 1000, **options)
                await self.pando.command("give", vm, wanted.data.decode())
                await self.pando.resume(vm)
                await asyncio.wait_for(_event(events, "done", vm), ANSWER_LIMIT_S)
                return time.monotonic_ns() - begin
        finally:
            with contextlib.suppress(PandoError):
                await self.pando.kill(vm)
            with contextlib.suppress(PandoError):
                await self.pando.remove_image(initrd)

    # ---- memory

    async def memory_used(self):
        """Bytes of the machine that are not free."""
        figures = await self.pando.mem()
        return figures["total"] - figures["free"]

    async def clones_that_have_answered(self, wanted, n):
        """n more clones, each of which has served one call and stays."""
        if n == 0:
            return
        template = (await self.pando.function(wanted.name))["template"]
        async with self.pando.events() as events:
            before = {vm["name"] for vm in await self.pando.vms(template)}
            await self.pando.clone(template, n)
            new = {vm["name"] for vm in await self.pando.vms(template)} - before
            for vm in new:
                await self.pando.command("give", vm, wanted.data.decode())
            while new:
                event = await asyncio.wait_for(anext(events), ANSWER_LIMIT_S)
                if event["event"] == "done":
                    new.discard(event["vm"])

    async def scanned(self, passes, timeout_s):
        """Has the merge scanner make so many passes over all memory."""
        for _ in range(passes):
            await asyncio.wait_for(self.pando.dedup("once"), timeout_s)


async def _event(events, kind, vm):
    async for event in events:
        if event["event"] == kind and event["vm"] == vm:
            return
