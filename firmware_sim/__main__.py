"""`python -m firmware_sim`: put a simulated card into a virtual reader and keep it there."""

from __future__ import annotations

import argparse
import random
import secrets
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from firmware_sim import build
from firmware_sim.card import Card, Entropy
from firmware_sim.nvm import Memory, PowerCut
from firmware_sim.pboc import PROFILES, Identity
from firmware_sim.tear import Tear
from firmware_sim.vpcd import DEFAULT_PORT, Slot

USAGE = """\
Put a simulated card into a virtual PC/SC reader. The reader is vsmartcard's vpcd under a running pcscd
(Debian: apt install pcscd vsmartcard-vpcd; pcscd --foreground). All keys are TEST KEYS.

  python -m firmware_sim --card pboc --balance 10000 --state card.img
  python -m firmware_sim --card pboc --state card.img --tear 54#3:answer:0

The card stays until Ctrl-C. Signal USR1 takes it out of the reader, USR2 puts it back.
"""
TEAR_HELP = """\
cut the power at a point, then put the card back after --away seconds: INS[#K]:command before the K-th command with that
instruction byte, INS[#K]:memory:N at the N-th byte it writes, INS[#K]:answer:N after N bytes of its answer; may be repeated"""

SPIN_HELP = """\
how long after an answer the next command is looked for before the simulator sleeps (2000): answers come sooner on an idle machine, for
that much of a processor with each command; 0 sleeps at once"""


def _microseconds(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


_microseconds.__name__ = "number of microseconds"


def _hex(size: int | None = None) -> Callable[[str], bytes]:
    def read(text: str) -> bytes:
        value = bytes.fromhex(text)
        if size is not None and len(value) != size:
            raise ValueError
        return value

    read.__name__ = f"hex of {size} bytes" if size else "hex"
    return read


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host:
        raise ValueError
    return host, int(port)


_address.__name__ = "HOST:PORT"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m firmware_sim", description=USAGE, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--card", choices=build.KINDS, required=True, help="what to simulate")
    profiles = f"make: {', '.join(PROFILES)} (the first for pboc, psam, isam), ev1 or ev2 (for desfire)"
    made.add_argument("--profile", help=profiles)
    where = made.add_mutually_exclusive_group()
    where.add_argument("--vpcd", type=_address, metavar="HOST:PORT", default=("127.0.0.1", DEFAULT_PORT), help="where vpcd listens")
    where.add_argument("--port", type=int, help=f"vpcd on this machine at another port than {DEFAULT_PORT}")
    made.add_argument("--state", type=Path, metavar="FILE", help="memory of the card, kept between runs; made when absent")
    made.add_argument("--serial", type=_hex(10), metavar="HEX", help="purse card: 10-byte application serial number, hex")
    made.add_argument("--balance", type=int, default=0, metavar="FEN", help="first balance of a new card")
    made.add_argument("--blank", action="store_true", help="a new card before personalisation: transport keys, no application")
    made.add_argument("--pin", type=_hex(), metavar="HEX", help="purse card: PIN as BCD bytes, hex (123456)")
    made.add_argument("--terminal", type=_hex(6), metavar="HEX", default=build.TEST_TERMINAL, help="psam: 6-byte terminal id, hex")
    made.add_argument("--uid", type=_hex(7), metavar="HEX", help="desfire: 7-byte UID, hex")
    made.add_argument("--seed", type=int, help="repeatable random numbers, for demonstrations only")
    made.add_argument("--tear", action="append", default=[], metavar="POINT", help=TEAR_HELP)
    made.add_argument("--away", type=float, default=1.0, metavar="SECONDS", help="how long a torn-out card stays out (1)")
    made.add_argument("--spin", type=_microseconds, default=2000, metavar="MICROSECONDS", help=SPIN_HELP)
    made.add_argument("--trace", action="store_true", help="print commands and answers")
    return made


def _card(options: argparse.Namespace) -> Card:
    """The card of the state file, or a new one. Raises ValueError and OSError with a reason."""
    memory = Memory(path=options.state)
    entropy: Entropy = random.Random(options.seed).randbytes if options.seed is not None else secrets.token_bytes  # noqa: S311  demonstrations
    made = build.made_as(memory)
    if made is not None:
        if made[0] != options.card:
            raise ValueError(f"{options.state} holds a {made[0]} card, not {options.card}")
        return build.open_card(memory, entropy)
    identity = Identity(**{name: value for name in ("serial", "pin") if (value := getattr(options, name)) is not None})
    return build.new_card(
        options.card, memory, profile=options.profile, identity=identity, balance=options.balance,
        terminal_id=options.terminal, uid=options.uid, blank=options.blank, entropy=entropy,
    )  # fmt: skip


def _trace(card: Card) -> None:
    plain = card.transmit

    def transmit(command: bytes) -> bytes:
        print(">", command.hex(" ").upper(), flush=True)
        try:
            answer = plain(command)
        except PowerCut as cut:
            print("< torn after", cut.answer.hex(" ").upper() or "nothing", flush=True)
            raise
        print("<", answer.hex(" ").upper(), flush=True)
        return answer

    card.transmit = transmit  # type: ignore[method-assign]


def _keep(slot: Slot, said: str) -> None:
    """Print `said` and keep the card in its reader until Ctrl-C or SIGTERM. Raises what the slot's thread died of.

    The signals are blocked in every thread and waited for in this one: a handler would run in the middle of anything,
    also of the very lock or event that it needs to take the card out.
    """
    waited = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # ignored, it belongs to the script that runs us in the background
        waited.add(signal.SIGINT)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    try:
        with ThreadPoolExecutor(1, "firmware-sim-slot") as threads:
            print(said, flush=True)
            running = threads.submit(slot.run)
            while not running.done():
                told = signal.sigtimedwait(waited, 0.5)
                if told is None:
                    continue
                if told.si_signo == signal.SIGUSR1:
                    slot.pull()
                elif told.si_signo == signal.SIGUSR2:
                    slot.insert()
                else:
                    slot.stop()
                    break
            running.result()
    finally:
        while signal.sigtimedwait(waited, 0):  # one that still waits would end the process when it is let through
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main(arguments: list[str] | None = None) -> int:
    """Run until Ctrl-C. Returns the exit status."""
    reading = parser()
    options = reading.parse_args(arguments)
    try:
        tears = [Tear.parse(text) for text in options.tear]
        card = _card(options)
    except BlockingIOError:
        print(f"{options.state} is in use by another simulator", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    card.tears = tears
    if options.trace:
        _trace(card)
    host, port = ("127.0.0.1", options.port) if options.port is not None else options.vpcd
    slot = Slot(card, host, port, away=options.away, spin=options.spin / 1e6)
    try:
        _keep(slot, f"{card.description} for the virtual reader at {host}:{port}; TEST KEYS; Ctrl-C ends")
    finally:
        card.memory.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
