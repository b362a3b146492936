"""A service and a reader with a card in one process, to be killed: taps one after the other, and says over a pipe what came of each."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Any

from cardapi.app import open_shop
from cardapi.keys.known import demo_keys
from cardapi.media.asked import Asked, Caller
from cardapi.media.sessions import CardSessions
from cardapi.media.tap import Room
from firmware_sim import build
from firmware_sim.desfire import ready
from firmware_sim.nvm import Memory
from tests.media.counter import PIN


def asked_of(number: int) -> Asked:
    """The tap of this number: loads and payments in turn, each of another amount."""
    return Asked(purpose="load" if number % 2 else "pay", amount_fen=100 + number, pin=PIN)


def _wait(pipe: int) -> None:
    """Say that money is in flight, and wait to be killed."""
    os.write(pipe, b"~\n")
    time.sleep(60)


def run(directory: Path, image: Path, first: int, linger: bool, end: Any) -> None:
    """Tap from number `first` on until killed. A number that was begun before is asked again under its key.

    linger: stop at the second tap where its money is in flight: before the card acts, or after.
    """
    pipe = end.detach()
    shop = open_shop(directory)
    room = Room(shop.desk, shop.registry, demo_keys(), lambda: time.time_ns() // 1_000, secrets.token_bytes, ready.SYSTEM)
    sessions = CardSessions(room)
    card = build.open_card(Memory(path=image))
    number = first
    while True:
        asked = asked_of(number)
        caller = Caller(client="terminal:t1", client_key=f"tap-{number}", unit="issuer", terminal="t1")
        card.reset()
        os.write(pipe, f"?{number}\n".encode())
        step = sessions.open(caller, asked, shop.desk.fingerprint([number]))
        while step.result is None:
            command = bytes.fromhex(step.commands[0])
            stop = linger and number > first and command[1] in (0x52, 0x54, 0xC7)
            if stop and number % 2:
                _wait(pipe)
            answer = card.transmit(command).hex()
            if stop:
                _wait(pipe)
            step = sessions.step(caller.client, step.session, step.step, (answer,))
        result = step.result
        if result.outcome == "settled" and result.amount_fen != asked.amount_fen:
            continue  # an older item of this card was in the way
        os.write(pipe, f"!{number} {result.outcome} {int(result.happened)} {result.code}\n".encode())
        number += 1
