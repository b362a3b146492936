"""Goal: `cardcore reader list | watch | show` tell people and programs what lies in the readers, and what is wrong when nothing can.
Method: the real commands against the real service, and a table of PC/SC results against the codes people look up.
"""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

from cardapi.pcsc import errors
from firmware_sim import build
from firmware_sim.pboc import Identity
from tests.cli.shop import COMMAND, ENVIRONMENT, call
from tests.firmware_sim.till import Till
from tests.pcsc.daemon import Daemon


def told(*words: str) -> Any:
    return json.loads(call(*words, "--json").stdout)


def refused(*words: str, **environment: str) -> str:
    result = call(*words, check=False, **environment)
    assert result.returncode == 1, result.stdout
    return result.stderr.strip().splitlines()[-1]


def test_list(pcscd: Daemon):
    with pcscd.holding(build.purse_card(balance=4200)):
        rows = {row["reader"]: row["card"] for row in told("reader", "list")}
        text = call("reader", "list").stdout
    assert rows[pcscd.second] is None
    assert rows[pcscd.reader]["kind"] == "pboc"
    assert rows[pcscd.reader]["medium"] == "pboc:100000001000000000000000000000000001"
    assert "PBOC purse  00000000000000000001" in " ".join(text.split()).replace("purse 0", "purse  0")
    assert "empty" in text


def test_show(pcscd: Daemon):
    card = build.purse_card(balance=4200, identity=Identity(serial=bytes.fromhex("00000000000000004711")))
    card.power_on()
    till = Till()
    for amount in (100, 250):
        till.purchase(card, amount)
    card.transmit(bytes.fromhex("0020000003999999"))
    with pcscd.holding(card):
        seen = told("reader", "show", "--reader", pcscd.reader)
        text = call("reader", "show", "--reader", pcscd.reader).stdout
    assert (seen["balance_fen"], seen["pin_tries_left"], seen["number"]) == (3850, 2, "00000000000000004711")
    assert [(row["what"], row["amount_fen"], row["counter"]) for row in seen["records"]] == [("purchase", 250, 1), ("purchase", 100, 0)]
    assert seen["valid_to"] == "2036-12-31"
    assert "¥38.50" in text
    assert "¥2.50" in text


def test_show_of_what_keeps_its_value_to_itself(pcscd: Daemon):
    with pcscd.holding(build.load_sam(), second=True, seen=False), pcscd.holding(build.desfire_purse_card(number=b"6200000000000013")):
        pcscd.sees(pcscd.second, card=True)
        seen = told("reader", "show", "--reader", pcscd.reader)
        assert (seen["kind"], seen["printed_number"], seen["balance_fen"]) == ("desfire", "6200000000000013", None)
        assert "[unknown_card]" in refused("reader", "show", "--reader", pcscd.second)


def test_what_is_missing_is_said(pcscd: Daemon):
    assert "[no_reader]" in refused("reader", "show", "--reader", "Contactless")
    assert "[several_readers]" in refused("reader", "show", "--reader", pcscd.name)
    assert "[no_card]" in refused("reader", "show", "--reader", pcscd.reader, "--wait", "0.2")


def watching(*words: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "reader", "watch", *words]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_watch_in_lines_for_programs(pcscd: Daemon):
    process = watching("--json")
    assert process.stdout is not None
    try:
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert {line["event"] for line in lines} == {"reader_added"}
        with pcscd.holding(build.purse_card(balance=700)):
            line = json.loads(process.stdout.readline())
            assert (line["event"], line["reader"], line["card"]["balance_fen"]) == ("card", pcscd.reader, 700)
        assert json.loads(process.stdout.readline())["event"] == "card_gone"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, process.stderr and process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_watch_for_people(pcscd: Daemon):
    with pcscd.holding(build.purse_card(balance=700)):
        process = watching()
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
            process.communicate()
    assert (process.returncode, rest, errors) == (0, "", "")
    assert sum("PBOC purse 00000000000000000001  ¥7.00" in line for line in lines) == 1
    assert sum("reader plugged in" in line for line in lines) == 2


def test_watch_for_a_while(pcscd: Daemon):
    text = call("reader", "watch", "--for", "0.6").stdout
    assert "card" not in text


def test_the_table_shows_what_is_there_now():
    from rich.console import Console

    from cardapi.cli.reader_view import Table
    from cardapi.pcsc.contents import Contents
    from cardapi.pcsc.identify import Found
    from cardapi.pcsc.watch import CARD, CARD_GONE, READER_ADDED, READER_GONE, SERVICE_LOST, Event

    view, console = Table(), Console(width=120)
    for event in (
        Event(READER_ADDED, "one"), Event(READER_ADDED, "two"), Event(READER_ADDED, "three"),
        Event(CARD, "one", Contents(Found("desfire", "04010203040506", printed="6200000000000013"))),
        Event(CARD, "two", error=errors.MuteCard("the card does not answer")), Event(READER_GONE, "three"), Event(SERVICE_LOST),
    ):  # fmt: skip
        view.tell(event)
    with console.capture() as shown:
        console.print(view._draw())
    assert "DESFire 6200000000000013" in shown.get()
    assert "[mute_card]" in shown.get()
    assert "three" not in shown.get()
    assert "service went away" in shown.get()
    view.tell(Event(CARD_GONE, "one"))
    with console.capture() as shown:
        console.print(view._draw())
    assert "DESFire" not in shown.get()
