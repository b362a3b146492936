"""Goal: the page of /metrics is what Prometheus reads, named by its conventions, and its figures are true.

Method: Prometheus' own parser for Python, the rules of `promtool check metrics` written down, and figures against what was done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cardapi.http.metrics import Metrics, Page
from cardapi.measures import Commits, Histogram
from cardcore.clearing.body import unpack_case
from cardcore.errors import CardcoreError
from tests.http.client import Till
from tests.http.conftest import Chain
from tests.support import ON_SERVER

UNITS = ("seconds", "bytes", "fen", "entries", "tickets", "requests", "calls", "items", "cases", "cards", "fds")
STATES = {"cardcore_build_info", "cardcore_storage_failed", "cardcore_draining", "cardcore_nonces"}


def values(text: str, name: str, **labels: str) -> list[float]:
    return [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def mistakes(text: str) -> Iterable[str]:
    """What `promtool check metrics` objects to, and names that nobody would guess."""
    helped = re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)
    typed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    if len(helped) != len(set(helped)) or set(helped) != set(typed):
        yield "each family has one HELP and one TYPE"
    for name, kind in typed.items():
        if not re.fullmatch("(cardcore|process)(_[a-z]+)+", name):
            yield f"{name}: not lower case words after cardcore_ or process_"
        if (kind == "counter") != name.endswith("_total"):
            yield f"{name}: counters, and only counters, end in _total"
        if kind != "counter" and name not in STATES and not name.endswith(UNITS):
            yield f"{name}: names no unit"
        if re.search("milli|micro|_ms|_us|_count$|_sum$|_bucket$", name):
            yield f"{name}: not in its base unit, or a name that histograms use"
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            own = (family.name, *(family.name + end for end in ("_total", "_bucket", "_sum", "_count")))
            if sample.name not in own:
                yield f"{sample.name} stands under {family.name}"


def test_the_page_is_well_formed_and_true(chain: Chain, till: Till, card: str) -> None:
    before = chain.admin.get("/metrics").body.decode()
    chain.app.service.counts._until = 0.0
    for _ in range(3):
        assert till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 100}]}).status == 200
    refused = till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 100_000_00}]})
    assert refused.status == 409
    chain.nobody.post("/v1/settle", {})
    text = chain.admin.get("/metrics").body.decode()
    assert list(mistakes(text)) == []

    def more(name: str, **labels: str) -> float:
        return sum(values(text, name, **labels)) - sum(values(before, name, **labels))

    assert more("cardcore_requests_total", operation="settle", status="200") == 3
    assert more("cardcore_problems_total", operation="settle", code=refused.code) == 1
    assert more("cardcore_denials_total", code="unauthenticated") == 1
    assert more("cardcore_request_seconds_count", operation="settle") == 5
    assert more("cardcore_commit_entries_sum") == 4, "a refusal on a known card is an entry too"
    commits = more("cardcore_commit_seconds_count")
    assert commits == more("cardcore_sync_seconds_count") == more("cardcore_commit_entries_count") > 0
    assert 0 < more("cardcore_sync_seconds_sum") <= more("cardcore_commit_seconds_sum")
    heads = chain.shop.desk.heads
    assert values(text, "cardcore_journal_entries") == [sum(head.position for head in heads)]
    assert 1 <= values(text, "cardcore_remembered_cards")[0] <= sum(1 for _ in chain.shop.store.reader().accounts())
    assert values(text, "cardcore_liability_fen") == [sum(head.liability_fen for head in heads)]
    reader = chain.shop.store.reader()
    flying = sum(row.in_flight > 0 for row in reader.media())
    cases = sum(unpack_case(record.body).state == "open" for record in reader.all_records("case"))
    reader.close()
    assert (values(text, "cardcore_in_flight_items"), values(text, "cardcore_open_cases")) == ([flying], [cases])
    assert values(text, "cardcore_desk_waiting_requests") == [0]
    assert values(text, "cardcore_build_info", store="server" if ON_SERVER else "embedded") == [1]
    assert values(text, "cardcore_pool_waiting_calls", pool="reports") == [0]
    assert values(text, "process_resident_memory_bytes")[0] > 10_000_000
    assert values(text, "process_open_fds")[0] > 3


def test_a_store_that_fails_is_on_the_page(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has to come when it is wanted most: what cannot be counted is left out."""
    monkeypatch.setattr(chain.app.service.counts, "_until", 0.0)
    monkeypatch.setattr(chain.shop.desk, "failed", CardcoreError("the disk is gone"))

    def gone(*_: object) -> None:
        raise CardcoreError("the disk is gone")

    monkeypatch.setattr(chain.shop.desk.reports, "here", gone)
    text = chain.admin.get("/metrics").body.decode()
    chain.app.service.counts._until = 0.0
    assert values(text, "cardcore_storage_failed") == [1]
    assert values(text, "cardcore_open_cases") == []
    assert list(mistakes(text)) == []


def test_names_that_break_the_rules_are_found() -> None:
    for name, kind in (("cardcore_x", "gauge"), ("cardcore_x_total", "gauge"), ("cardcore_x_seconds", "counter"), ("x_seconds", "gauge")):
        page = Page()
        page.single(name, kind, "A figure.", 1)
        assert list(mistakes(page.text())), name


def test_labels_are_escaped() -> None:
    page = Page()
    page.family("cardcore_x_items", "gauge", "A figure.")
    page.sample(1, odd='a"b\\c\nd')
    assert values(page.text(), "cardcore_x_items") == [1]
    (family,) = text_string_to_metric_families(page.text())
    assert family.samples[0].labels == {"odd": 'a"b\\c\nd'}


def test_histograms_are_cumulative_and_add_up() -> None:
    one = Histogram((1, 10, 100))
    for value in (1, 2, 10, 11, 1_000):
        one.observe(value)
    page = Page()
    page.family("cardcore_x_seconds", "histogram", "Durations.")
    page.histogram(one, 1_000)
    text = page.text()
    assert values(text, "cardcore_x_seconds_bucket") == [1, 3, 4, 5]
    assert re.findall('le="([^"]+)"', text) == ["0.001", "0.01", "0.1", "+Inf"]
    assert values(text, "cardcore_x_seconds_sum") == [1.024]
    two = Commits()
    two.record(3, 5_000_000, 4_000_000)
    two.tried_again = 2
    whole = Commits.sum([two, two])
    assert (whole.entries.total, whole.write_us.total, whole.sync_us.total, whole.tried_again) == (6, 10_000, 8_000, 4)
    assert sum(whole.entries.counts) == 2


def test_a_new_process_has_a_page_too() -> None:
    page = Page()
    Metrics().write(page)
    assert list(mistakes(page.text())) == []
