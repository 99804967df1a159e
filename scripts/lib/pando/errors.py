# SPDX-License-Identifier: BSD-2-Clause
"""What can go wrong between a program and Pando. Everything here is a PandoError; a CommandError is Pando's own word, with the
code of docs/control.md in `.code`."""


class PandoError(Exception):
    """Base of all; the text is one line that a person can act upon."""


class NotRunning(PandoError):
    """No Pando answers in this directory."""


class ConnectionLost(PandoError):
    """Pando, QEMU or the socket between ended while an answer was still to come."""


class PortsTaken(PandoError):
    """All control (or console) ports have a client."""


class CommandError(PandoError):
    """Pando refused a request. `code` is the protocol's; `data` (of a call its time line, as far as it got) and `payload` came with the
    answer."""

    code = "unknown"

    def __init__(self, code, message, payload=b"", data=None):
        super().__init__(message)
        self.code = code
        self.data = data or {}
        self.payload = payload


class Absent(CommandError):
    """No such VM, image, template or function."""


class Exists(CommandError):
    """The name is taken."""


class Busy(CommandError):
    """Too much in flight: try again later."""


class NoMemory(CommandError):
    """The machine has no memory left for this."""


class CallTimeout(CommandError):
    """A call took longer than it may."""


class Crashed(CommandError):
    """The guest of a call has ended, or its function died."""


class FunctionFailed(CommandError):
    """The function said that it failed; `payload` is what it said."""


class AnswerTooLong(CommandError):
    """The function's answer was longer than the window."""


class Broken(CommandError):
    """A file or image that is not what it should be."""


BY_CODE = {
    "absent": Absent,
    "exists": Exists,
    "busy": Busy,
    "nomem": NoMemory,
    "timeout": CallTimeout,
    "crash": Crashed,
    "function": FunctionFailed,
    "toolong": AnswerTooLong,
    "broken": Broken,
}


def command_error(code, message, payload=b"", data=None):
    """The exception for a code of the protocol."""
    return BY_CODE.get(code, CommandError)(code, message, payload, data)
