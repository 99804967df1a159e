# SPDX-License-Identifier: BSD-2-Clause
"""What the gateway counts, for Prometheus. The names that begin with gateway_ are those of OpenFaaS, so that its dashboards fit; the
others are Pando's own: the stages of its time line, what calls wrote, what there is in memory."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from . import timeline

SECONDS = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1, 2, 5, 10)
STATES = ("new", "running", "paused", "template", "off", "dying")
PAGES = (5, 10, 20, 50, 100, 200, 500, 1000, 5000)


class Metrics:
    def __init__(self):
        self.registry = CollectorRegistry()
        per_function = {"registry": self.registry, "labelnames": ["function_name"]}
        self.started = Counter("gateway_function_invocation_started", "Calls begun", **per_function)
        self.calls = Counter("gateway_function_invocation", "Calls ended, by HTTP status", ["function_name", "code"], registry=self.registry)
        self.seconds = Histogram("gateway_functions_seconds", "A call as the gateway sees it", buckets=SECONDS, **per_function)
        self.replicas = Gauge("gateway_service_count", "VMs that wait for calls, at least 1 for the template", **per_function)
        self.stages = Histogram(
            "pando_call_stage_seconds", "Stages of a call's time line", ["function_name", "stage"], buckets=SECONDS, registry=self.registry
        )
        self.pages = Histogram("pando_call_private_pages", "Pages that a call made private", buckets=PAGES, **per_function)
        self.breaks = Counter("pando_call_breaks", "Breaks of calls, by class", ["function_name", "class"], registry=self.registry)
        self.running = Gauge("pando_function_running", "Calls under way", **per_function)
        self.queued = Gauge("pando_function_queued", "Calls that wait in Pando", **per_function)
        self.ready = Gauge("pando_function_ready", "Warm VMs that wait for calls", **per_function)
        self.up = Gauge("pando_up", "1 if Pando answers", registry=self.registry)
        self.vms = Gauge("pando_vms", "VMs, by state", ["state"], registry=self.registry)
        self.memory = Gauge("pando_memory_bytes", "Memory of the machine, by kind", ["kind"], registry=self.registry)
        self._names = set()
        self._gauges = (self.replicas, self.running, self.queued, self.ready, self.vms, self.memory)

    def begin(self, name):
        """A call begins. Only names that Pando knows are counted: anybody may make one up."""
        if name in self._names:
            self.started.labels(name).inc()

    def end(self, name, code, seconds, data=None):
        """A call has ended; `data` is its time line, as far as it got. There is one only if Pando has a function of that name."""
        if name not in self._names:
            if not data:
                return
            self._names.add(name)
            self.started.labels(name).inc()
        self.calls.labels(name, str(code)).inc()
        self.seconds.labels(name).observe(seconds)
        if not data:
            return
        for stage, ns in timeline.lengths(data).items():
            self.stages.labels(name, stage).observe(ns / 1e9)
        if data.get("private_pages") is not None:
            self.pages.labels(name).observe(data["private_pages"])
        for kind, count in (data.get("breaks") or {}).items():
            if count:
                self.breaks.labels(name, kind).inc(count)

    async def collect(self, pando):
        """What Pando itself knows; `pando` is None if it does not run."""
        for gauge in self._gauges:
            gauge.clear()
        self.up.set(0)
        if pando is None:
            return
        functions, summary, machine = await pando.functions(), await pando.summary(), await pando.stat()
        self.up.set(1)
        for function in functions:
            name = function["name"]
            self.replicas.labels(name).set(max(1, function["ready"]))
            for gauge, key in ((self.running, "running"), (self.queued, "queued"), (self.ready, "ready")):
                gauge.labels(name).set(function[key])
        for state in STATES:
            self.vms.labels(state).set(summary[state])
        for kind in ("private", "tables"):
            self.memory.labels(kind).set(summary[kind])
        for kind in ("total", "free"):
            self.memory.labels(kind).set(machine["memory"][kind])

    def text(self):
        """(bytes, content type)"""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
