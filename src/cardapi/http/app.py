"""The ASGI application: the thin path for money verbs in front, FastAPI's routes for everything behind, one edge for both."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from cardapi.http import docs_page, openapi, wire
from cardapi.http import operations as table
from cardapi.http.call import Service
from cardapi.http.edge import ClientGone, Edge, Receive, Scope, Send
from cardapi.http.operations import OPERATIONS, Operation
from cardapi.http.problems import Answer, Headers, answer
from cardapi.http.request_ids import HEADER, KEPT
from cardapi.http.tickets import Tickets

if TYPE_CHECKING:
    from cardapi.app import Shop


class Application:
    """An ASGI 3 callable. `fastapi` alone serves every operation too, and the same way: a test holds them equal."""

    def __init__(self, service: Service) -> None:
        table.check(OPERATIONS)
        self.service = service
        self.edge = Edge(service, OPERATIONS)
        document = openapi.document(OPERATIONS)
        service.document = msgspec.json.encode(document)
        service.page = docs_page.render(document).encode()
        service.two_person = table.TWO_PERSON
        self._hot = {operation.path: operation for operation in OPERATIONS if operation.hot}
        self.hot_targets = {path.encode(): operation for path, operation in self._hot.items() if operation.method == "POST"}
        """Operations by their target as it stands in a request; for `lane.Lane`."""
        self.fastapi = _routes(self.edge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request_id = scope[KEPT] = self.edge.ids.of(next((value for name, value in scope["headers"] if name == HEADER), b""))
            operation = self._hot.get(scope["path"])
            if operation is None or scope["method"] != operation.method:
                await self.fastapi(scope, receive, _named(send, request_id))
                return
            try:
                status, headers, body = await self.edge.serve(operation, scope, receive, {})
            except ClientGone:
                return
            if wire.write(send, status, headers, body, request_id):
                return
            told = [*headers, (HEADER, request_id), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": status, "headers": told})
            await send({"type": "http.response.body", "body": body})
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.service.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _named(send: Send, request_id: bytes) -> Send:
    """The same, with the request's id on the answer."""

    async def named(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (HEADER, request_id)]
        await send(message)

    return named


def _routes(edge: Edge) -> FastAPI:
    """FastAPI with one route for each row of the table. Its own schema machinery stays off: the table is the schema."""
    app = FastAPI(title=openapi.TITLE, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for operation in OPERATIONS:
        app.add_api_route(
            operation.path, _endpoint(edge, operation), methods=[operation.method], name=operation.id, operation_id=operation.id
        )
    app.add_exception_handler(HTTPException, _not_routed)
    return app


def _endpoint(edge: Edge, operation: Operation) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        try:
            done = await edge.serve(operation, request.scope, request.receive, dict(request.path_params))
        except ClientGone:
            done = answer("length_mismatch")
        return _response(done)

    return endpoint


def _response(done: Answer) -> Response:
    status, headers, body = done
    response = Response(body, status)
    response.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
    return response


async def _not_routed(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, as problems."""
    del request
    assert isinstance(error, HTTPException), "only routing errors come here"
    headers: Headers = tuple((k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items() if k.lower() == "allow")
    return _response(answer("method_not_allowed" if error.status_code == 405 else "not_found", headers=headers))


def wall_clock() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def build_app(shop: Shop, *, clock: Callable[[], int] = wall_clock, quick_passwords: bool = False) -> Application:
    """The application over an opened shop. `quick_passwords` makes new hashes cheap: for tests only."""
    return Application(Service(shop, clock, Tickets(shop.desk, shop.registry), quick_passwords=quick_passwords))
