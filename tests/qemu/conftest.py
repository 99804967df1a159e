# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures: a Pando for one test, which leaves no QEMU behind, and its log in build/test/qemu."""

import subprocess

import pytest

from pando import BUILD, QEMU, Pando, guest, make_bundle, qemu_version


def pytest_configure():
    """In the first process: whoever is one of xdist's workers cannot end the run."""
    if not (BUILD / "pando.elf").is_file():
        pytest.exit(f"no {BUILD / 'pando.elf'}: run make", returncode=3)


@pytest.fixture
def linux():
    """Options of mkbundle for a Linux VM; skips the test where the Linux images are absent."""
    image, initrd = BUILD / "linux/Image", BUILD / "linux/initrd.cpio"
    if not image.is_file() or not initrd.is_file():
        pytest.skip("no Linux guest in build/linux (make setup fetches it)")

    def options(name="linux", memory="256M", vcpus=1, bootargs="", autoboot=1, base="console=ttyS0 quiet cryptomgr.notests"):
        text = f"{base} {bootargs}".strip()
        vm = f"{name},kernel={image},initrd={initrd},memory={memory},vcpus={vcpus},autoboot={autoboot}"
        return ["--vm", vm, "--bootargs", f"{name}={text}"]

    return options


@pytest.fixture
def agent(linux):
    """Options of mkbundle for the VM of dts/agent.dts; mode: what the guest is to do (guests/linux/init)."""

    def options(mode="agent", vcpus=1):
        command = ["fdtget", "-t", "s", BUILD / "agent.dtb", "/vms/agent", "bootargs"]
        shipped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        words = [word for word in shipped.split() if not word.startswith("pando.mode=")]
        return linux("agent", vcpus=vcpus, bootargs=" ".join([*words, f"pando.mode={mode}"]), autoboot=0, base="")

    return options


@pytest.fixture
def start(request, tmp_path):
    """start(bundle options or path, **options of Pando) -> a Pando that ends with the test. A VM of a tiny guest is
    a tuple (name, guest, options of mkbundle, bootargs)."""
    running = []

    def begin(*bundle, tiny=(), **options):
        args = list(bundle)
        # In QEMU 7.2 a guest's sip does not show timer interrupts; they are taken all the same.
        quirk = "" if (qemu_version(options.get("qemu", QEMU)) or (0, 0)) >= (8, 0) else "sip=0"
        for name, image, keys, bootargs in tiny:
            args += ["--vm", f"{name},kernel={guest(image)},{keys}"]
            args += ["--bootargs", f"{name}={bootargs} {quirk}".rstrip()]
        path = make_bundle(tmp_path / f"bundle{len(running)}.dtb", *args)
        return begin_with(path, **options)

    def begin_with(path, **options):
        suffix = f".{len(running)}" if running else ""
        pando = Pando(path, request.node.name + suffix, **options)
        running.append(pando)
        return pando

    begin.with_bundle = begin_with
    yield begin
    for pando in running:
        pando.__exit__()
