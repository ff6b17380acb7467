"""The tracer provider of Python apps: OpenTelemetry's, with an exporter.

OpenTelemetry's API loads it when a program first asks for a tracer, by
OTEL_PYTHON_TRACER_PROVIDER=apocryph, so that a program that asks for none pays
nothing. Spans are written to the standard output, a line of JSON each, unless
OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set: then they
are sent there by OTLP over HTTP, in its JSON encoding (OTLP 1.x, "OTLP/HTTP").
OTEL_TRACES_EXPORTER=none exports nothing. A program that sets a provider of its own
keeps it.
"""

import base64
import http.client
import json
import math
import os
import sys
import urllib.parse
import urllib.request
from collections.abc import Mapping

from opentelemetry.trace import NoOpTracerProvider

try:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        ConsoleSpanExporter,
        SimpleSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    unusable = None
except Exception as error:
    # A program may bring an API, or parts of an SDK, of another version: the API passes
    # on what is raised here, and the program would end where it asks for a tracer.
    SpanExporter, unusable = object, error


def _value(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, float):
        if math.isfinite(v):
            return {"doubleValue": v}
        # JSON has no such numbers; protobuf's mapping writes words.
        return {"doubleValue": "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity"}
    if isinstance(v, (list, tuple)):
        return {"arrayValue": {"values": [_value(x) for x in v]}}
    if isinstance(v, (bytes, bytearray)):
        return {"bytesValue": base64.b64encode(v).decode()}
    if isinstance(v, Mapping):
        return {"kvlistValue": {"values": _attributes(v)}}
    if v is None:
        return {}
    return {"stringValue": str(v)}


def _attributes(a):
    return [{"key": k, "value": _value(v)} for k, v in (a or {}).items()]


def _span(s):
    out = {
        "traceId": format(s.context.trace_id, "032x"),
        "spanId": format(s.context.span_id, "016x"),
        "name": s.name,
        "kind": s.kind.value + 1,
        "startTimeUnixNano": str(s.start_time),
        "endTimeUnixNano": str(s.end_time),
        "attributes": _attributes(s.attributes),
        "events": [
            {"timeUnixNano": str(e.timestamp), "name": e.name, "attributes": _attributes(e.attributes)} for e in s.events
        ],
        "links": [
            {
                "traceId": format(x.context.trace_id, "032x"),
                "spanId": format(x.context.span_id, "016x"),
                "attributes": _attributes(x.attributes),
            }
            for x in s.links
        ],
        "status": {"code": s.status.status_code.value, "message": s.status.description or ""},
    }
    if s.parent is not None:
        out["parentSpanId"] = format(s.parent.span_id, "016x")
    return out


class OTLPJSONExporter(SpanExporter):
    """Sends spans by OTLP/HTTP with JSON, which needs no library."""

    def __init__(self, url, headers):
        self._url, self._headers = url, headers

    def export(self, spans):
        groups = {}
        for s in spans:
            key = (s.instrumentation_scope.name, s.instrumentation_scope.version or "")
            groups.setdefault(key, []).append(_span(s))
        body = {
            "resourceSpans": [
                {
                    "resource": {"attributes": _attributes(spans[0].resource.attributes)},
                    "scopeSpans": [{"scope": {"name": n, "version": v}, "spans": g} for (n, v), g in groups.items()],
                }
            ]
        }
        request = urllib.request.Request(
            self._url, json.dumps(body).encode(), {"Content-Type": "application/json", **self._headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=10):
                return SpanExportResult.SUCCESS
        except (OSError, ValueError, http.client.HTTPException) as error:
            print(f"exporting spans: {error}", file=sys.stderr)
            return SpanExportResult.FAILURE


def _headers():
    text = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    pairs = (p.split("=", 1) for p in text.split(",") if "=" in p)
    return {k.strip(): urllib.parse.unquote(v.strip()) for k, v in pairs}


def provider():
    """Makes the provider, by the environment."""
    if unusable is not None:
        print(f"spans are not exported, for the SDK does not fit: {unusable}", file=sys.stderr)
        return NoOpTracerProvider()
    made = TracerProvider(resource=Resource.create())
    url = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not url and os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        url = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"].rstrip("/") + "/v1/traces"
    if os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return made
    if url:
        made.add_span_processor(BatchSpanProcessor(OTLPJSONExporter(url, _headers())))
    else:
        line = ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + "\n")
        made.add_span_processor(SimpleSpanProcessor(line))
    return made
