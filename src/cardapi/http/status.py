"""Handlers of the service itself: health, ready, metrics, the OpenAPI document and its page."""

from __future__ import annotations

from importlib.resources import files

from cardapi.http import gauges
from cardapi.http.call import JSON, Call, Service, ok
from cardapi.http.problems import Answer, HttpProblem
from cardapi.http.staff_schemas import Health

STALLED_S = 10  # a commit takes milliseconds
BEHIND_S = 180  # a checkpoint is due each minute (A3)

# Nothing may run or load but what this page brings itself; it calls nothing and cannot be framed.
PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
METRICS = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)
STATIC = {"page.js": b"text/javascript; charset=utf-8", "page.css": b"text/css; charset=utf-8"}


async def health(service: Service, call: Call) -> Answer:
    """Alive, and able to acknowledge."""
    del call
    return said(service, ready=False)


async def ready(service: Service, call: Call) -> Answer:
    """Whether to send work here."""
    del call
    return said(service, ready=True)


def said(service: Service, *, ready: bool) -> Answer:
    """The word on either. Raises HttpProblem not_ready, with the reason."""
    if service.desk.failed is not None:
        raise HttpProblem("not_ready", "a storage error stopped the service; nothing is acknowledged any more", reason="storage")
    if ready and service.draining:
        raise HttpProblem("not_ready", "the service is shutting down", reason="draining")
    if ready and service.desk.stalled_s() > STALLED_S:
        raise HttpProblem("not_ready", f"the store has not answered for more than {STALLED_S} seconds", reason="stalled")
    if ready and service.shop.checkpoint_lag().age_s > BEHIND_S:
        raise HttpProblem("not_ready", f"no checkpoint was signed for more than {BEHIND_S} seconds of work", reason="checkpoint")
    return ok(Health(status="ok"))


async def metrics(service: Service, call: Call) -> Answer:
    """Prometheus text."""
    del call
    return 200, METRICS, (await gauges.page(service)).encode()


async def openapi(service: Service, call: Call) -> Answer:
    """The description of every call, itself included."""
    del call
    return 200, JSON, service.document


async def page(service: Service, call: Call) -> Answer:
    """The description as a page to read; works without any network."""
    del call
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", PAGE_POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    )
    return 200, headers, service.page


async def page_file(service: Service, call: Call) -> Answer:
    """The page's own script and style."""
    del service
    name = call.path["file"]
    if name not in STATIC:
        raise HttpProblem("not_found")
    data = files("cardapi.http").joinpath("static", name).read_bytes()
    return 200, ((b"content-type", STATIC[name]), (b"x-content-type-options", b"nosniff")), data
