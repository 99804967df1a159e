#!/usr/bin/python3 -ISB
# SPDX-License-Identifier: BSD-2-Clause
"""/init of a function in Python: /function/handler.py with `def handle(data: bytes) -> bytes`.

It imports the handler, and all that the handler imports, calls handle(SAMPLE) if the module has a SAMPLE, and leaves the
rest to agent_python.c: each access to the mailbox from Python would cost more than a whole call does there."""

import ctypes
import gc
import mmap
import os
import sys

POWER_OFF = 0x4321FEDC


def encode(text):
    """A name that is not UTF-8 comes as lone surrogates; they are shown as \\udc80."""
    return text.encode("utf-8", "backslashreplace")


def quit(why):
    os.write(2, encode(f"function: {why}\n"))
    ctypes.CDLL(None).reboot(POWER_OFF)


def trace(error):
    """A traceback in the words of Python's own, without lines of source: the module for those would have to be imported in the
    clone, or be in every template. The innermost twenty frames."""
    frames, at = [], error.__traceback__
    while at:
        frames.append(f'  File "{at.tb_frame.f_code.co_filename}", line {at.tb_lineno}, in {at.tb_frame.f_code.co_name}\n')
        at = at.tb_next
    shown = ["Traceback (most recent call last):\n", *frames[-20:]] if frames else []
    where = f" ({error.filename}, line {error.lineno})" if isinstance(error, SyntaxError) else ""
    return encode("".join(shown) + f"{type(error).__name__}: {error}{where}").decode()


def shown(error):
    """The same without the agent's own frame."""
    try:
        return trace(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
    except BaseException:
        return "an exception that cannot be shown"


def guard(handle):
    """handle(), with what it raises, or gives that is not bytes, as text."""

    def call(data):
        try:
            result = handle(data)
            return result if type(result) is bytes else convert(result)
        except BaseException as error:
            return shown(error)

    return call


def convert(result):
    if isinstance(result, (bytearray, memoryview, bytes)):
        return bytes(result)
    raise TypeError(f"handle() must return bytes, not {type(result).__name__}")


def reseed(module):
    """What the modules drew random numbers from in the template, seeded anew, and then the function's own cloned(); what that raises as
    bytes, else none."""
    random = sys.modules.get("random")
    tempfile = sys.modules.get("tempfile")
    own = getattr(module, "cloned", None)

    def cloned():
        if random:
            random.seed()
        if tempfile:
            tempfile._name_sequence = None
        try:
            if own:
                own()
        except BaseException as error:
            return encode("cloned() fails\n" + shown(error))
        return b""

    return cloned


def load():
    sys.path.insert(0, "/function")
    try:
        import handler
    except BaseException as error:
        quit("handler.py does not load\n" + trace(error))
    if not callable(getattr(handler, "handle", None)):
        quit("handler.py has no function `handle`")
    return handler


def warm_up(module, handle):
    if hasattr(module, "SAMPLE"):
        result = handle(module.SAMPLE)
        if isinstance(result, str):
            quit("handle(SAMPLE) fails\n" + result)
        handle(module.SAMPLE)


def interpreter():
    """The table `struct python` of agent_python.c."""
    names = [
        "PyBytes_FromStringAndSize",
        "PyBytes_AsStringAndSize",
        "PyUnicode_AsUTF8AndSize",
        "PyObject_CallOneArg",
        "PyObject_CallNoArgs",
        "Py_DecRef",
        "PyErr_Clear",
        "PyErr_Print",
    ]
    return (ctypes.c_void_p * len(names))(
        *(ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in names)
    )


def map_life():
    """The two entries of agent_python.c, and the memory that they lie in."""
    fd = os.open("/function/life.bin", os.O_RDONLY)
    image = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    os.close(fd)
    address = ctypes.addressof(ctypes.c_char.from_buffer(image))
    open_life = ctypes.PYFUNCTYPE(None)(address)
    serve = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.py_object, ctypes.py_object)(address + 8)
    return open_life, serve, image


def main():
    os.environ["PATH"] = "/function:/bin:/usr/bin"
    open_life, serve, _image = map_life()
    open_life()
    module = load()
    handle, cloned = guard(module.handle), reseed(module)
    warm_up(module, handle)
    gc.collect()
    gc.freeze()  # what is there now, no collection in a clone looks at
    table = interpreter()
    serve(ctypes.addressof(table), handle, cloned)


main()
