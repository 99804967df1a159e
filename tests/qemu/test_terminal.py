# SPDX-License-Identifier: BSD-2-Clause
"""scripts/qemu on a real terminal: keys that a terminal turns into signals are for Pando and its guests."""

import pexpect
import pytest

from pando import QEMU, SLOW, TOP, guest, make_bundle


@pytest.fixture(name="terminal")
def machine(tmp_path):
    bundle = make_bundle(tmp_path / "t.dtb", "--vm", f"echo,kernel={guest('echo')},memory=4M,autoboot=0")
    options = ["--qemu", QEMU, "--mem", "512M", "--bundle", str(bundle)]
    child = pexpect.spawn(str(TOP / "scripts/qemu"), options, timeout=30 * SLOW, encoding="latin-1")
    child.expect("pando> ")
    yield child
    child.close(force=True)


def test_control_keys_do_not_end_the_machine(terminal):
    terminal.send("frob\x03")
    terminal.expect(r"\^C[^\n]*\n.*pando> ")
    terminal.send("boot echo\r")
    terminal.expect(r"\[echo\] type")
    terminal.send("console echo\r")
    terminal.expect("attached to echo")
    terminal.send("one\x03\x1a\x1ctwo\r")
    terminal.expect("you said ONE\x03\x1a\x1cTWO")
    terminal.send("\x1dquit 4\r")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 4
