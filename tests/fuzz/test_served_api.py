"""Goal: no request, however odd, makes the served API answer 5xx or break its own description.

Method: schemathesis reads /openapi.json of the application in process and sends generated requests as an administrator;
any server error or undocumented answer fails. Sized for half a minute; CARDCORE_LONG=1 multiplies it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from cardapi.app import open_shop
from cardapi.http.app import build_app
from cardapi.http.operations import OPERATIONS
from tests.shops import PASSWORD, new_shop
from tests.support import sized

SCHEMES = Path(__file__).parents[2] / "schemes"
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
HARMLESS = {"logout", "revokeOperator", "docsFile"}  # would end the session under the fuzzer, or only answers 404


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[object, str]]:
    directory = tmp_path_factory.mktemp("fuzz") / "shop"
    new_shop(directory)
    with open_shop(directory) as shop:
        app = build_app(shop, quick_passwords=True)

        async def lives_on(scope, receive, send) -> None:
            """The application without its end: the test client would start and stop it around every call."""
            if scope["type"] == "http":
                await app(scope, receive, send)
                return
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})

        yield lives_on, asyncio.run(login(app))


async def login(app: object) -> str:
    import httpx

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:  # type: ignore[arg-type]
        reply = await client.post("/v1/login", json={"operator": "admin", "password": PASSWORD})
        token = str(reply.json()["token"])
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "setup"}
        await client.post("/v1/schemes", json={"pack": (SCHEMES / "mall-vip.toml").read_text()}, headers=headers)
        return token


@pytest.fixture(scope="module")
def schema(served: tuple[object, str]) -> object:
    return schemathesis.openapi.from_asgi("/openapi.json", served[0])


@pytest.mark.parametrize("name", [row.id for row in OPERATIONS if row.id not in HARMLESS])
def test_no_request_breaks_it(schema, served: tuple[object, str], name: str) -> None:
    operation = schema.find_operation_by_id(name)
    headers = {"Authorization": f"Bearer {served[1]}"}

    @settings(max_examples=sized(12, 400), deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def probe(case) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    probe()
