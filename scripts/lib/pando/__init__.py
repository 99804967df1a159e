# SPDX-License-Identifier: BSD-2-Clause
"""Pando from Python."""

from . import client, errors, ports

__all__ = ["client", "errors", "ports"]
