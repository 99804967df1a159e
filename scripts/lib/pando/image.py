# SPDX-License-Identifier: BSD-2-Clause
"""Guest images of functions: a handler, its runtime and the agent that serves it, as an initrd for Debian's kernel.

    image = build("hello", "c", "guests/functions/hello.c")
    image.initrd, image.kernel, image.bootargs, image.memory, image.vcpus

What is built lies in build/functions, under a name made of everything that went into it, and is built once. A guest booted
from an image stores READY when it is warm, and serves calls as docs/functions.md says. BUILD names another build folder.

A handler that cannot be built raises ImageError: one line that says what is wrong, and in `.output` what the compiler said."""

import ast
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("BUILD", TOP / "build"))
AGENT = TOP / "guests/linux/function"
CC = "riscv64-unknown-elf-gcc"

RUNTIMES = {".c": "c", ".sh": "shell", ".py": "python"}
MEMORY = {"c": 128 << 20, "shell": 128 << 20, "python": 192 << 20}
PARTS = {"c": ["guest", "musl"], "shell": ["guest"], "python": ["guest", "python"]}  # of scripts/setup

# docs/linux-guest.md says what each is for; a kernel that panics is off at once, and the call is told.
BOOTARGS = (
    "console=ttyS0 quiet cryptomgr.notests retain_initrd deferred_probe_timeout=0 cgroup_disable=memory nowatchdog "
    "ipv6.disable=1 sysctl.vm.stat_interval=86400 sysctl.vm.compaction_proactiveness=0 panic=-1 rdinit=/init"
)

NODES = [
    "dir:/dev", "dir:/proc", "dir:/sys", "dir:/tmp", "dir:/function",
    "node:/dev/console=c,5,1", "node:/dev/null=c,1,3", "node:/dev/zero=c,1,5", "node:/dev/mem=c,1,1",
    "node:/dev/random=c,1,8", "node:/dev/urandom=c,1,9",
]  # fmt: skip

BARE = ["-march=rv64imac", "-misa-spec=2.2", "-mabi=lp64", "-mcmodel=medany", "-ffreestanding", "-nostdlib", "-fno-builtin"]


class ImageError(Exception):
    """Why there is no image; `output` holds what the compiler said, if it was one."""

    def __init__(self, message, output=""):
        super().__init__(message)
        self.output = output


@dataclasses.dataclass(frozen=True)
class Image:
    initrd: pathlib.Path
    kernel: pathlib.Path
    bootargs: str
    memory: int  # bytes
    vcpus: int


def runtime_of(handler):
    """The runtime that the handler's name stands for, or ImageError."""
    suffix = pathlib.Path(handler).suffix
    if suffix not in RUNTIMES:
        raise ImageError(f"{handler}: which runtime? One of {', '.join(RUNTIMES.values())}")
    return RUNTIMES[suffix]


def build(name, runtime, handler, files=(), memory=None, vcpus=1):
    """The image of a function.

    name      what clones are called: host names NAME-1, NAME-2, ...
    runtime   c, shell or python; None: by the handler's suffix
    handler   path of the C file, script or Python module
    files     more files, each PATH or NAME=PATH: found by the function in its folder /function. For C, .c files are
              compiled and linked, and the folders of .h files searched for includes
    memory    bytes of RAM, a multiple of 2 MiB; None: what the runtime needs
    """
    handler = pathlib.Path(handler)
    runtime = runtime or runtime_of(handler)
    if runtime not in MEMORY:
        raise ImageError(f"there is no runtime {runtime!r}: one of {', '.join(MEMORY)}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}", name):
        raise ImageError(f"{name!r} is no name for a function: it begins with a letter or digit; 50 of A-Za-z0-9._-")
    extra = dict(named(each) for each in files)
    for path in [handler, *extra.values()]:
        if not path.is_file():
            raise ImageError(f"no file {path}")
    CHECKS[runtime](handler)
    with alone():
        fetch(runtime)
        initrd = cached(BUILD / "functions" / digest(runtime, handler, extra), runtime, handler, extra)
    return Image(
        initrd=initrd,
        kernel=BUILD / "linux/Image",
        bootargs=f"{BOOTARGS} hostname={name.replace('_', '-')}",
        memory=memory or MEMORY[runtime],
        vcpus=vcpus,
    )


def named(entry):
    """A word of `files` as (name in the guest, path)."""
    name, equals, path = str(entry).partition("=")
    path = pathlib.Path(path if equals else name)
    return name if equals else path.name, path


# ---- what can be said about a handler without its runtime


def check_nothing(_):
    pass


def check_shell(handler):
    if b"\0" in handler.read_bytes():
        raise ImageError(f"{handler} is no script")


def check_python(handler):
    """The guest's Python may be newer than this one: what this one cannot read is left to the guest."""
    try:
        tree = ast.parse(handler.read_bytes(), str(handler))
    except (SyntaxError, ValueError):
        return
    names = {getattr(node, "name", None) for node in tree.body}
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    if not names & {"handle", "*"} and not any(isinstance(node, (ast.If, ast.Try)) for node in tree.body):
        raise ImageError(f"{handler} has no function `handle`: def handle(data: bytes) -> bytes")


CHECKS = {"c": check_nothing, "shell": check_shell, "python": check_python}


# ---- the cache


@contextlib.contextmanager
def alone():
    """One build at a time in this folder, whoever asks for it."""
    (BUILD / "functions").mkdir(parents=True, exist_ok=True)
    with open(BUILD / "functions/lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(runtime):
    """What the runtime needs of Debian, by scripts/setup, which does nothing once it is there."""
    stamps = {"guest": ".stamp", "musl": "musl/.stamp", "python": "python/.stamp"}
    absent = [part for part in PARTS[runtime] if not (BUILD / "linux" / stamps[part]).exists()]
    if absent:
        run([TOP / "scripts/setup", *absent], f"runtime {runtime} cannot be set up")


def digest(runtime, handler, extra):
    """Of everything that goes into an initrd: the agent, Debian's packages by their versions, the function's files."""
    sha = hashlib.sha256(runtime.encode())
    own = [pathlib.Path(__file__), TOP / "scripts/mkcpio", *sorted(path for path in AGENT.parent.rglob("*") if path.is_file())]
    stamps = [BUILD / "linux" / name for name in (".stamp", "musl/.stamp", "python/.stamp")]
    parts = [("", path) for path in own + [stamp for stamp in stamps if stamp.exists()]]
    parts += [("handler", handler), *sorted(extra.items())]
    if runtime == "c":
        parts += [("", path) for path in included(handler, extra)]
    for name, path in parts:
        data = path.read_bytes()
        sha.update(f"\0{name}\0{path.suffix}\0{os.access(path, os.X_OK)}\0{len(data)}\0".encode() + data)
    return sha.hexdigest()[:24]


def cached(folder, runtime, handler, extra):
    initrd = folder / "initrd.cpio"
    if not initrd.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            entries = MAKERS[runtime](handler, extra, pathlib.Path(work))
            run([TOP / "scripts/mkcpio", "-o", initrd, *entries], "the initrd cannot be made")
    return initrd


# ---- what is in an initrd, by runtime: entries of scripts/mkcpio


def plain_files(extra):
    """Folders on the way first."""
    folders = {str(parent) for name in extra for parent in pathlib.PurePosixPath(name).parents if str(parent) != "."}
    return [f"dir:/function/{name}" for name in sorted(folders)] + [
        f"file:/function/{name}={path},{'755' if os.access(path, os.X_OK) else '644'}" for name, path in extra.items()
    ]


def c_flags():
    own = run([CC, "-print-file-name=include"], "there is no compiler").strip()
    flags = ["-O2", "-g0", "-std=gnu11", "-fno-pic", "-ffunction-sections", "-fdata-sections"]
    return [*flags, "-nostdinc", "-isystem", BUILD / "linux/musl/include", "-isystem", own]


def c_sources(handler, extra):
    """(source, flags) of the function's own files."""
    headers = sorted({path.parent for path in extra.values() if path.suffix == ".h"})
    folders = [word for folder in headers for word in ("-I", folder)]
    for source in [handler, *(path for path in extra.values() if path.suffix == ".c")]:
        yield source, ["-Wall", "-include", AGENT / "function.h", "-I", source.parent, *folders]


def included(handler, extra):
    """The headers that they include, but for the C library's."""
    found = set()
    for source, flags in c_sources(handler, extra):
        rule = run([CC, *c_flags(), *flags, "-MM", source], f"{source} does not compile")
        found |= {pathlib.Path(word) for word in rule.replace("\\\n", " ").split()[1:]}
    return sorted(found)


def make_c(handler, extra, work):
    objects, flags = [], c_flags()
    for source, own in c_sources(handler, extra):
        objects.append(work / f"{len(objects)}.o")
        run([CC, *flags, *own, "-c", "-o", objects[-1], source], f"{source} does not compile")
    for source in (AGENT / "agent_c.c", AGENT / "life.c"):
        objects.append(work / f"{source.stem}.o")
        run([CC, *flags, "-c", "-o", objects[-1], source], f"{source} does not compile")
    lib = BUILD / "linux/musl/lib"
    link = [CC, "-nostdlib", "-static", "-Wl,--gc-sections,--build-id=none,-s", "-o", work / "init"]
    link += [lib / "crt1.o", lib / "crti.o", *objects, f"-L{lib}", "-lc", "-lgcc", lib / "crtn.o"]
    try:
        run(link, f"{handler} does not link")
    except ImageError as error:
        if "undefined reference to `handle'" in error.output:
            text = "long handle(const unsigned char *in, unsigned long len, unsigned char *out, unsigned long room)"
            raise ImageError(f"{handler} has no function `handle`: {text}", error.output) from None
        raise
    rest = {name: path for name, path in extra.items() if path.suffix not in (".c", ".h")}
    return [*NODES, f"file:/init={work / 'init'}", *plain_files(rest)]


def make_shell(handler, extra, work):
    """The script becomes a function, so that it has been read before the call; see agent_shell.c for the descriptors."""
    script = handler.read_text(errors="surrogateescape")
    (work / "run").write_text(
        f"handler() {{\n:\n{script}\n}}\n"
        "trap 'echo $? >&4; read -r _ <&3' EXIT\n"
        "echo >&4; read -r RANDOM <&3 && handler; exit\n",
        errors="surrogateescape",
    )
    bare([AGENT / "agent_shell.c", AGENT / "life.c"], work / "init", ["-Wl,-Ttext=0x10000"])
    entries = [*NODES, "dir:/bin", f"file:/bin/busybox={BUILD / 'linux/busybox'}", "link:/bin/sh=busybox"]
    entries += [f"file:/init={work / 'init'}", f"file:/function/run={work / 'run'}"]
    if sample := re.search(r"^# sample: (.*)$", script, re.MULTILINE):
        (work / "sample").write_text(sample[1])
        entries.append(f"file:/function/sample={work / 'sample'},644")
    return entries + plain_files(extra)


def make_python(handler, extra, work):
    """The image has no relocations: it is linked at 0, without what a linker at 0 would make absolute."""
    bare(
        [AGENT / "agent_python.c", AGENT / "life.c"],
        work / "life",
        ["-Wl,--section-start=.entry=0,-Ttext=0x20,--no-relax", "-fno-jump-tables", "-mno-relax"],
    )
    flat = ["-O", "binary", "--set-section-flags", ".bss=alloc,load,contents", "--set-section-flags", ".sbss=alloc,load,contents"]
    run(["riscv64-unknown-elf-objcopy", *flat, work / "life", work / "life.bin"], "the agent cannot be made")
    entries = [f"tree:/={BUILD / 'linux/python/tree'}", "link:/lib=usr/lib", *NODES]
    entries += [f"file:/init={AGENT / 'agent_python.py'}", f"file:/function/life.bin={work / 'life.bin'}"]
    return [*entries, f"file:/function/handler.py={handler},644", *plain_files(extra)]


MAKERS = {"c": make_c, "shell": make_shell, "python": make_python}


def bare(sources, output, flags):
    """A program without a C library."""
    command = [CC, *BARE, "-std=gnu11", "-O2", "-g0", "-static", "-Wl,--build-id=none", *flags, "-o", output, *sources]
    run(command, f"{sources[0]} does not compile")


def run(command, failure):
    """The command's output; ImageError with its messages if it fails."""
    words = [str(word) for word in command]
    if "/" not in words[0] and shutil.which(words[0]) is None:
        raise ImageError(f"there is no {words[0]}: run make setup")
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise ImageError(failure, (done.stderr or done.stdout).strip())
    return done.stdout
