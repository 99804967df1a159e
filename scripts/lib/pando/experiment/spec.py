# SPDX-License-Identifier: BSD-2-Clause
"""What an experiment's TOML file says, checked: unknown or wrong words are refused with their place before anything starts."""

import pathlib
import re
import tomllib
from dataclasses import dataclass, field

from ..errors import PandoError

SIZE = re.compile(r"([1-9]\d*)([MG])")
UNITS = {"M": 1 << 20, "G": 1 << 30}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")


class SpecError(PandoError):
    """The file is not an experiment; the message says where and why."""


def size_of(text):
    """Bytes of "256M" or "2G"."""
    found = SIZE.fullmatch(str(text))
    if not found:
        raise SpecError(f"{text!r} is no size: write a number and M or G")
    return int(found[1]) * UNITS[found[2]]


@dataclass(frozen=True)
class Wanted:
    """A function that the experiment deploys; `data` is the payload of its calls."""

    name: str
    runtime: str
    handler: pathlib.Path
    data: bytes = b""
    memory: str = ""
    files: tuple = ()


@dataclass
class Spec:
    """`measure` holds the settings of the kind, all of them, defaults filled in."""

    name: str
    title: str
    kind: str
    harts: int = 2
    mem: str = "4G"
    functions: list = field(default_factory=list)
    measure: dict = field(default_factory=dict)
    folder: pathlib.Path = pathlib.Path(".")


def refuse_others(table, known, where):
    for key in table:
        if key not in known:
            raise SpecError(f"{where}: unknown key {key!r}; known are {', '.join(sorted(known))}")


def read_function(table, folder, where):
    refuse_others(table, {"name", "runtime", "handler", "data", "memory", "files"}, where)
    for key in ("name", "runtime", "handler"):
        if not isinstance(table.get(key), str):
            raise SpecError(f"{where}: {key} is missing, or is no string")
    if not NAME.fullmatch(table["name"]):
        raise SpecError(f"{where}: a name has small letters, digits and dashes, at most 20: {table['name']!r}")
    handler = (folder / table["handler"]).resolve()
    if not handler.exists():
        raise SpecError(f"{where}: no handler {handler}")
    memory = table.get("memory", "")
    if memory:
        size_of(memory)
    files = tuple(str((folder / file).resolve()) for file in table.get("files", ()))
    return Wanted(table["name"], table["runtime"], handler, table.get("data", "").encode(), memory, files)


def same_type(value, default):
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and value > 0
    if isinstance(default, int):
        return isinstance(value, int) and value >= 0
    if isinstance(default, list):
        return isinstance(value, list) and bool(value) and all(same_type(item, default[0]) for item in value)
    return isinstance(value, type(default))


def read_measure(table, defaults, where):
    refuse_others(table, defaults, where)
    for key, value in table.items():
        if not same_type(value, defaults[key]):
            raise SpecError(f"{where}: {key} = {value!r} should be like {defaults[key]!r}")
    return defaults | table


def set_by_hand(measure, words):
    """`--set KEY=VALUE`: VALUE as TOML has it."""
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise SpecError(f"--set wants KEY=VALUE, not {word!r}")
        try:
            measure[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise SpecError(f"--set {word}: {error}") from None
    return measure


def choose(functions, names):
    """Those of these names; all, without names."""
    absent = set(names) - {function.name for function in functions}
    if absent:
        raise SpecError(f"no function {', '.join(sorted(absent))}; there are {', '.join(f.name for f in functions)}")
    return [function for function in functions if not names or function.name in names]


def read(path, kinds, overrides=(), only=()):
    """The Spec in the file `path`. `kinds`: {kind: its settings with their defaults}; `overrides`: more words for [measure]; `only`:
    names of the functions that are wanted of it."""
    path = pathlib.Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: {error}") from None
    refuse_others(table, {"title", "kind", "machine", "function", "measure"}, path)
    kind = table.get("kind")
    if kind not in kinds:
        raise SpecError(f"{path}: kind = {kind!r}; known are {', '.join(sorted(kinds))}")
    machine = table.get("machine", {})
    refuse_others(machine, {"harts", "mem"}, f"{path}: [machine]")
    functions = [read_function(f, path.parent, f"{path}: function {i + 1}") for i, f in enumerate(table.get("function", []))]
    if not functions:
        raise SpecError(f"{path}: no [[function]]")
    if len({f.name for f in functions}) != len(functions):
        raise SpecError(f"{path}: two functions of one name")
    functions = choose(functions, only)
    measure = set_by_hand(dict(table.get("measure", {})), overrides)
    measure = read_measure(measure, kinds[kind], f"{path}: [measure]")
    return Spec(path.stem, str(table.get("title", path.stem)), kind, machine.get("harts", 2), machine.get("mem", "4G"), functions, measure, path.parent)
