# SPDX-License-Identifier: BSD-2-Clause
"""What all measurements share: a machine that counts instructions, bundles of the bench guests, and the figures that
Pando's `stat` and `mem` show."""

import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/qemu"))
import host  # noqa: E402
import pando  # noqa: E402

HOST = host.pando.__name__  # the package scripts/lib/pando: `pando` is the tests' own module here
LIMIT = 120  # seconds of patience with one step
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def bundle(folder, guest, memory="64M", bootargs="", vcpus=1, name="t", dedup="off"):
    """A bundle whose one VM runs a tiny guest and waits in `boot NAME`. The merge scanner leaves it alone, unless `dedup` says
    otherwise: what is measured is to be the same whether or not its turn comes meanwhile."""
    path = folder / f"{guest}-{memory}-{vcpus}.dtb"
    vm = f"{name},kernel={pando.guest(guest)},memory={memory},vcpus={vcpus},autoboot=0,dedup={dedup}"
    return pando.make_bundle(path, "--vm", vm, "--bootargs", f"{name}={bootargs}")


def in_bytes(text):
    number, unit = text.split()
    return round(float(number) * UNITS[unit])


def count(n, word):
    return f"{n:,} {word}" + "s" * (n != 1)


class Machine(pando.Pando):
    def __init__(self, bundle_path, name, harts=1, mem="4G", icount=True, cpu="", extra=()):
        super().__init__(bundle_path, f"bench {name}", harts=harts, mem=mem, icount=icount, cpu=cpu, extra=extra)

    def template(self, name="t", limit=LIMIT):
        self.run(f"boot {name}", limit)
        self.freeze_at_ready(name, limit)
        self.run(f"unwatch {name}", limit)  # what it has to say is said

    def clone(self, name, n=1):
        """Makes and starts n clones; the name of the last."""
        for line in self.run(f"clone {name} -n {n}", LIMIT):
            if found := re.search(r"started, the last is (\S+)", line):
                return found[1]
        return self.fail(f"clone {name}: no clone")

    def last_id(self):
        """The number of the youngest VM."""
        return max(int(found[1]) for line in self.run("vms", LIMIT) if (found := re.match(r"\S+ +#(\d+) ", line)))

    def run_to_done(self, command):
        """A command after which one VM says DONE."""
        start = self.mark()
        self.run(command, LIMIT)
        self.line("done after", LIMIT, start)

    def stat(self, name):
        """What `stat` shows of one VM: {"instructions": {call: n}, "breaks": {class: n}, "memory": {kind: bytes}}."""
        lines = self.run(f"stat {name}", LIMIT)
        stat = {"instructions": {}, "breaks": {}, "memory": {}}
        for line in lines:
            if found := re.match(r"  ([a-z ]+): .*?(\d+) instructions", line):
                stat["instructions"][found[1]] = int(found[2])
            elif found := re.match(r"  breaks: \d+(?:, (.*))?$", line):
                stat["breaks"] = {words: int(n) for words, n in re.findall(r"([^,\d]+) (\d+)(?:, |$)", found[1] or "")}
            elif found := re.match(r"  memory: (.*?); RAM", line):
                for amount, kind in re.findall(r"([\d.]+ (?:[KMG]i)?B)(?: of)? (\w+)", found[1]):
                    stat["memory"][kind] = in_bytes(amount)
        return stat

    def cost(self, name, call):
        """Instructions of the last such call on this VM."""
        costs = self.stat(name)["instructions"]
        return costs[call] if call in costs else self.fail(f"stat {name} shows no {call} in instructions, only {costs}")

    def newest_clone(self, template):
        return [found[0] for line in self.run("vms", LIMIT) if (found := re.match(rf"{re.escape(template)}\.\d+", line))][-1]

    def machine_costs(self):
        """What `stat` says of the last kill and of the reaper, in instructions."""
        lines = self.run("stat", LIMIT)
        return {"reaper": 0} | {m[1]: int(m[2]) for line in lines if (m := re.match(r"(last kill|reaper): .*, (\d+) instructions", line))}

    def stage(self, name, word, start=0):
        """Waits until a watched guest says that it has come this far."""
        return self.line(rf"\[{re.escape(name)}\] STAGE {word}", LIMIT, start)

    def press(self, name):
        """Types a key into the guest's console: it may go on."""
        self.prompt(LIMIT)
        self.type(f"console {name}\r")
        self.type("x\x1d")
        self.prompt(LIMIT)
        self.run(f"watch {name}", LIMIT)

    def lock_waits(self):
        """How often each rank of lock had to be waited for, since boot."""
        for line in self.run("stat", LIMIT):
            if found := re.match(r"locks that had to be waited for:(.*)", line):
                return {rank: int(n) for rank, n in re.findall(r"(\S+) (\d+)", found[1])}
        return self.fail("stat shows no locks")
