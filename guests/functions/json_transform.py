# SPDX-License-Identifier: BSD-2-Clause
"""json_transform: takes an order, {"customer": NAME, "items": [{"name", "price", "quantity"}, ...]}; gives it as an invoice: {"customer",
"lines": [{"name", "sum"}, ...] by sum, "total"}. Amounts are integers, in cents."""

import json

SAMPLE = b'{"customer": "A", "items": [{"name": "tea", "price": 250, "quantity": 2}]}'


def handle(data: bytes) -> bytes:
    order = json.loads(data)
    lines = [{"name": item["name"], "sum": item["price"] * item["quantity"]} for item in order["items"]]
    lines.sort(key=lambda line: (-line["sum"], line["name"]))
    invoice = {"customer": order["customer"], "lines": lines, "total": sum(line["sum"] for line in lines)}
    return json.dumps(invoice).encode()
