# SPDX-License-Identifier: BSD-2-Clause
"""The host's own Python package, scripts/lib/pando, under the name `host.pando`: here `pando` is the module that drives the shell.

    from host import pando
    connection = await pando.client.Connection.open(directory)
"""

import importlib.util
import pathlib
import sys

_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lib" / "pando"


def _load():
    spec = importlib.util.spec_from_file_location("pando_host", _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)])
    module = importlib.util.module_from_spec(spec)
    sys.modules["pando_host"] = module
    spec.loader.exec_module(module)
    return module


pando = _load()
