# SPDX-License-Identifier: BSD-2-Clause
"""From a handler's source to a function: build an image, upload it, boot it, wait for READY, freeze it, set the function. A function that
exists is switched: calls that run end where they began, new ones use the new template, and the old template goes.

Whatever fails on the way, nothing of the new one is left behind, and an old function goes on as it was."""

import asyncio
import contextlib
import os
import re
import secrets
import time
from dataclasses import dataclass, field

from . import image
from .errors import CallTimeout, Crashed, Exists, PandoError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,19}")
NAME_MAX = 20  # of a VM
KERNEL = "linux/kernel"  # of dts/functions.dts
SETTLED = {"template": ("runtime", "files", "kernel", "memory", "vcpus", "bootargs", "policy"), "image": ("runtime", "files")}
RUNTIMES = ("c", "shell", "python")  # of image.py


@dataclass
class Deployment:
    """What to deploy. Either a `handler` (its source file) with a `runtime` (or that which its name stands for), or a ready `image` (an
    initrd whose /init follows the mailbox's rules), or a `template` that is there already. memory, vcpus, bootargs: of the guest; mode, warm, max, timeout (ms), writeset: of the
    function; `policy`: {"dedup": "family", ...}; `boot_timeout` in seconds; `say(text)` and `progress(n, of)` hear how it goes."""

    name: str
    runtime: str = None
    handler: str = None
    image: str = None
    template: str = None
    kernel: str = None
    files: list = field(default_factory=list)
    memory: str = None
    vcpus: int = None
    bootargs: str = None
    policy: dict = field(default_factory=dict)
    mode: str = None
    warm: int = None
    max: int = None
    timeout: int = None
    writeset: bool = None
    boot_timeout: float = 120.0
    say: object = None
    progress: object = None


@dataclass
class Guest:
    """What is booted: files on this host, and its settings."""

    initrd: str
    kernel: str = None
    bootargs: str = "console=ttyS0 quiet"
    memory: str = "128M"
    vcpus: int = 1


def check(wanted):
    """What can be refused before anything is done."""
    if not NAME.fullmatch(wanted.name):
        raise PandoError(f"{wanted.name!r} is no name for a function: 1 to {NAME_MAX} letters, digits and dashes")
    ways = [wanted.template, wanted.image, wanted.handler]
    if sum(way is not None for way in ways) != 1:
        raise PandoError("a function needs one of a handler, an image, or a template")
    for way, keys in SETTLED.items():
        given = [key for key in keys if getattr(wanted, key) not in (None, [], {})]
        if getattr(wanted, way) is not None and given:
            names = ", ".join(key.replace("files", "file") for key in given)
            raise PandoError(f"{names}: settled by the {way} already")
    if wanted.runtime not in (None, *RUNTIMES):
        raise PandoError(f"there is no runtime {wanted.runtime!r}: one of {', '.join(RUNTIMES)}")
    for path in (wanted.handler, wanted.image, wanted.kernel):
        if path is not None and not os.path.isfile(path):
            raise PandoError(f"{path}: no such file")


def guest_of(wanted):
    """Builds the image, if there is none yet. The Guest."""
    if wanted.image is not None:
        guest = Guest(wanted.image, wanted.kernel)
    else:
        try:
            built = image.build(wanted.name, wanted.runtime, wanted.handler, files=wanted.files)
        except image.ImageError as error:
            raise PandoError(f"{error}\n{error.output}".strip()) from None
        guest = Guest(str(built.initrd), str(built.kernel), built.bootargs, f"{built.memory >> 20}M", built.vcpus)
    for key in ("memory", "vcpus", "bootargs", "kernel"):
        if (value := getattr(wanted, key)) is not None:
            setattr(guest, key, value)
    return guest


def vm_names(name):
    """NAME, then NAME-2, NAME-3, ...: the old template is still there while the new one boots."""
    yield name[:NAME_MAX]
    for number in range(2, 1000):
        suffix = f"-{number}"
        yield name[: NAME_MAX - len(suffix)] + suffix


def image_name(name, kind):
    """Of an upload that is for VM or function `name`: one of its own, for others may deploy the same at once. Pando takes 31 characters."""
    return f"{name[:15]}.{kind}.{secrets.token_hex(4)}"


async def kernel_image(pando, wanted, guest, uploaded):
    """The name of the kernel in Pando: the bundle's own if nobody asked for another and it is of the same length, else it is uploaded."""
    images = await pando.images()
    length = os.path.getsize(guest.kernel) if guest.kernel else None
    if KERNEL in images and wanted.kernel is None and length in (None, images[KERNEL]):
        return KERNEL
    if length is None:
        raise PandoError(f"this bundle has no {KERNEL}, and no kernel was given")
    uploaded.append(image_name(wanted.name, "kernel"))
    await pando.put_image(uploaded[-1], guest.kernel, wanted.progress and (lambda n: wanted.progress(n, length)))
    return uploaded[-1]


async def last_words(pando, vm):
    """The end of a VM's console, for a message."""
    with contextlib.suppress(PandoError):
        lines = (await pando.logs(vm)).decode(errors="replace").splitlines()
        if words := [line.strip() for line in lines if line.strip()][-5:]:
            return "; its console ends:\n  " + "\n  ".join(words)
    return ""


async def boot(pando, wanted, guest):
    """Uploads, boots and freezes; (the VM's name, ns of the boot as we saw it)."""
    length = os.path.getsize(guest.initrd)
    uploaded = []
    try:
        options = {"kernel": await kernel_image(pando, wanted, guest, uploaded), "initrd": image_name(wanted.name, "initrd")}
        uploaded.append(options["initrd"])
        await pando.put_image(uploaded[-1], guest.initrd, wanted.progress and (lambda n: wanted.progress(n, length)))
        options |= {"memory": guest.memory, "vcpus": guest.vcpus, "bootargs": guest.bootargs, "policy": wanted.policy}
        taken = {vm["name"] for vm in await pando.vms()}
        for vm in (name for name in vm_names(wanted.name) if name not in taken):
            with contextlib.suppress(Exists):
                return vm, await boot_and_freeze(pando, wanted, vm, options)
        raise PandoError(f"{wanted.name}: too many VMs of this name")
    finally:
        for name in uploaded:
            with contextlib.suppress(PandoError):
                await asyncio.shield(pando.remove_image(name))


async def boot_and_freeze(pando, wanted, vm, options):
    """ns of the boot. A VM that does not get ready is gone afterwards. Where Pando refuses to boot one, the name may be somebody else's: he
    is left alone."""
    start, booted = time.perf_counter_ns(), False
    try:
        await pando.boot(vm, **options, wait=int(wanted.boot_timeout * 1000))
        took, booted = time.perf_counter_ns() - start, True
        await pando.freeze(vm)
        return took
    except (CallTimeout, Crashed) as error:
        words = await last_words(pando, vm)
        await remove_vm(pando, vm)
        raise PandoError(f"{wanted.name}: the guest did not get ready: {error}{words}") from None
    except BaseException as error:
        if booted or not isinstance(error, PandoError):
            await remove_vm(pando, vm)
        raise


async def remove_vm(pando, vm):
    with contextlib.suppress(PandoError):
        await asyncio.shield(pando.kill(vm))


async def remove_template(pando, name, template, functions):
    """The template that function `name` had (None: it was killed) goes, unless another of `functions` ({name: its dict}) has it too."""
    if template and not any(each["template"] == template for other, each in functions.items() if other != name):
        await remove_vm(pando, template)


async def undeploy(pando, name, keep_template=False):
    existing = {function["name"]: function for function in await pando.functions()}
    await pando.remove_function(name)
    if name in existing and not keep_template:
        await remove_template(pando, name, existing[name]["template"], existing)


async def deploy(pando, wanted):
    """The whole way; {"function", "template", "boot_ns", "replaced"}."""
    check(wanted)
    say = wanted.say or (lambda text: None)
    vm, took = wanted.template, None
    if vm is None:
        say(f"{wanted.name}: building its image")
        guest = await asyncio.to_thread(guest_of, wanted)
        say(f"{wanted.name}: booting it, {guest.memory} of RAM")
        vm, took = await boot(pando, wanted, guest)
    try:
        existing = {function["name"]: function for function in await pando.functions()}
        await pando.set_function(wanted.name, vm, **{key: getattr(wanted, key) for key in ("mode", "warm", "max", "timeout", "writeset")})
    except BaseException:
        if wanted.template is None:
            await remove_vm(pando, vm)
        raise
    old = existing.get(wanted.name)
    replaced = old["template"] if old and old["template"] != vm else None
    await remove_template(pando, wanted.name, replaced, existing)
    return {"function": wanted.name, "template": vm, "boot_ns": took, "replaced": replaced}
