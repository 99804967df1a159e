# SPDX-License-Identifier: BSD-2-Clause
"""sqlite: takes the name of a country, gives its orders as JSON: {"country", "orders", "total", "best": [[product, sum], ...]}.

The database is built in memory when the template warms up: 2,000 orders of 20 products in 10 countries, by a rule."""

import json
import sqlite3

COUNTRIES = ["Austria", "Belgium", "Chile", "Denmark", "Estonia", "France", "Ghana", "Hungary", "Iceland", "Japan"]
SAMPLE = b"Chile"


def build():
    database = sqlite3.connect(":memory:")
    database.execute("create table orders (id integer primary key, country text, product integer, amount integer)")
    rows = ((i, COUNTRIES[(i * 3 + i // 7) % 10], i * 7 % 20, i * 31 % 97 + 1) for i in range(2000))
    database.executemany("insert into orders values (?, ?, ?, ?)", rows)
    database.execute("create index by_country on orders (country)")
    database.commit()
    return database


DATABASE = build()


def handle(data: bytes) -> bytes:
    country = data.decode()
    count, total = DATABASE.execute("select count(*), sum(amount) from orders where country = ?", (country,)).fetchone()
    if count == 0:
        raise LookupError(f"no orders from {country!r}")
    best = DATABASE.execute(
        "select product, sum(amount) as sold from orders where country = ? group by product order by sold desc, product limit 3",
        (country,),
    ).fetchall()
    return json.dumps({"country": country, "orders": count, "total": total, "best": best}).encode()
