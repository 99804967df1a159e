# SPDX-License-Identifier: BSD-2-Clause
"""Images of functions, as far as no guest is needed to judge them (scripts/lib/pando/image.py)."""

import os
import pathlib
import subprocess
import sys

import pytest
from pando import image

TOP = pathlib.Path(__file__).resolve().parents[2]
SAMPLES = TOP / "guests/functions"
C_HANDLER = "long handle(const unsigned char *in, unsigned long len, unsigned char *out, unsigned long room) { return 0; }\n"


@pytest.fixture(autouse=True)
def packages():
    for part in (".stamp", "musl/.stamp", "python/.stamp"):
        if not (image.BUILD / "linux" / part).exists():
            pytest.skip("not all of the guest's packages are there (scripts/setup guest musl python)")


def entries(path):
    """Names in a cpio archive, with their content."""
    data, at, found = path.read_bytes(), 0, {}
    while True:
        mode, size, name_len = (int(data[at + i : at + i + 8], 16) for i in (14, 54, 94))
        name = data[at + 110 : at + 110 + name_len - 1].decode()
        if name == "TRAILER!!!":
            return found
        start = (at + 110 + name_len + 3) & ~3
        found[name] = (mode, data[start : start + size])
        at = (start + size + 3) & ~3


def write(path, text):
    path.write_text(text)
    return path


def refused(text, *args, **options):
    with pytest.raises(image.ImageError) as caught:
        image.build(*args, **options)
    assert text in str(caught.value) and "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("handler", sorted(SAMPLES.glob("*.*")), ids=lambda path: path.name)
def test_every_sample_builds(handler):
    built = image.build(handler.stem, None, handler)
    assert {"init", "function", "dev/mem", "dev/console"} <= set(entries(built.initrd))
    assert f"hostname={handler.stem.replace('_', '-')}" in built.bootargs.split()
    assert built.kernel.is_file() and built.memory % (2 << 20) == 0 and built.vcpus == 1


def test_built_once_and_anew_when_something_changes(tmp_path):
    handler = write(tmp_path / "f.c", '#include "f.h"\n' + C_HANDLER)
    header = write(tmp_path / "f.h", "#define A 1\n")
    first = image.build("f", "c", handler).initrd
    stamp = first.stat().st_mtime_ns
    assert image.build("g", "c", handler).initrd == first
    assert first.stat().st_mtime_ns == stamp
    write(header, "#define A 2\n")
    assert image.build("f", "c", handler).initrd != first
    assert image.build("f", "c", handler, [write(tmp_path / "data", "x")]).initrd != first


def test_builds_at_the_same_time(tmp_path):
    """Of one function that nobody has built yet, in several processes."""
    handler = write(tmp_path / "f.c", C_HANDLER.replace("return 0", f"return {os.getpid()}"))
    program = f"import sys; sys.path.insert(0, {str(TOP / 'scripts/lib')!r}); from pando import image; print(image.build('f', 'c', {str(handler)!r}).initrd)"
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    paths = {process.communicate(timeout=120)[0].strip() for process in running}
    assert all(process.returncode == 0 for process in running) and len(paths) == 1
    assert "init" in entries(pathlib.Path(paths.pop()))


def test_files(tmp_path):
    """Each lies in /function under its name or the one given; more sources of a C function are linked to it."""
    data = write(tmp_path / "data.txt", "some")
    script = image.build("f", "shell", SAMPLES / "hello.sh", [data, f"tables/other.txt={data}"]).initrd
    found = entries(script)
    assert found["function/data.txt"][1] == found["function/tables/other.txt"][1] == b"some"
    handler = write(tmp_path / "f.c", '#include "half.h"\n' + C_HANDLER.replace("return 0", "return half()"))
    rest = [write(tmp_path / "half.c", "long half(void) { return 1; }\n"), write(tmp_path / "half.h", "long half(void);\n")]
    assert "function/half.c" not in entries(image.build("f", "c", handler, rest).initrd)
    assert "undefined reference" in refused("does not link", "f", "c", handler, rest[1:]).output


def test_refusals(tmp_path):
    c = write(tmp_path / "f.c", C_HANDLER)
    refused("no file", "f", "c", tmp_path / "absent.c")
    refused("no file", "f", "c", c, [tmp_path / "absent"])
    refused("there is no runtime 'ruby'", "f", "ruby", c)
    refused("which runtime?", "f", None, write(tmp_path / "f.rb", ""))
    refused("is no name for a function", "no blanks", "c", c)
    refused("is no name for a function", "x" * 51, "c", c)
    error = refused("does not compile", "f", "c", write(tmp_path / "broken.c", "int x = ;\n"))
    assert "broken.c:1" in error.output
    refused("does not compile", "f", "c", write(tmp_path / "header.c", '#include "absent.h"\n'))
    error = refused("does not compile", "f", "c", write(tmp_path / "other.c", "int handle(void) { return 0; }\n"))
    assert "conflicting types" in error.output
    refused("has no function `handle`: long handle(", "f", "c", write(tmp_path / "none.c", "int x;\n"))
    refused("has no function `handle`: def handle(", "f", "python", write(tmp_path / "none.py", "import json\n"))
    refused("is no script", "f", "shell", write(tmp_path / "none.sh", "\0"))


def test_what_this_python_cannot_judge_is_left_to_the_guest(tmp_path):
    """Newer syntax; a handle that is not a plain definition."""
    for text in ("from other import handle\n", "handle = lambda data: data\n", "try:\n    import a\nexcept ImportError:\n    pass\n"):
        image.build("f", "python", write(tmp_path / "f.py", text))
    image.build("f", "python", write(tmp_path / "new.py", "type X = int\ndef handle(data): return data\n"))


def test_a_failed_build_leaves_no_image(tmp_path):
    handler = write(tmp_path / "none.c", "int y;\n")
    refused("has no function", "f", "c", handler)
    refused("has no function", "f", "c", handler)
