"""Card sessions in memory, with bounds (F4): the station is a pipe, it sends what it is given and brings back what the card says.

A step can be repeated: the same number with the same answers gives the same commands. A session that is lost, with the station or with
this process, loses nothing: what was intended is in the journal, and the card's next tap ends it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator

import msgspec

from cardapi.media.asked import Asked, Caller, Result
from cardapi.media.tap import Room, Tap, TapRefused
from cardcore.card import Answer, Command
from cardcore.card.errors import InvalidApdu
from cardcore.errors import CardcoreError

SESSIONS_MAX = 1_000
OF_CLIENT_MAX = 8
IDLE_S = 60.0
STEPS_MAX = 400
ANSWER_MAX = 258  # octets: a short answer and its status word


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a station does next: send these to the card and bring the answers as step `step`; or nothing more when there is a result."""

    session: str
    step: int
    commands: tuple[str, ...] = ()  # hex
    result: Result | None = None


class SessionProblem(CardcoreError):
    """A call that does not fit its session. `code`: unknown_session, step_out_of_order, answer_malformed, too_many_sessions, key_reused."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class _Session:
    def __init__(self, name: str, client: str, meaning: bytes, tap: Tap) -> None:
        self.name = name
        self.client = client
        self.meaning = meaning
        self.tap = tap
        self.script: Generator[Command, Answer, Result] | None = tap.run()
        self.lock = threading.Lock()
        self.touched = 0.0
        self.last: Step | None = None
        self.answered: tuple[str, ...] = ()  # the answers that `last` was made from


    def gives_way(self, meaning: bytes) -> bool:
        """Whether the key begins anew: the card left and may be here again, or nothing was done and something else is asked for."""
        result = self.last.result if self.last is not None else None
        if result is None:
            return False
        return result.outcome in ("torn", "in_flight") if self.meaning == meaning else result.outcome == "refused"


class CardSessions:
    """Every session of this process. Methods block (they read and commit) and may be called from any thread but an event loop's."""

    def __init__(self, room: Room, *, idle_s: float = IDLE_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._room = room
        self._idle_s = idle_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()  # longest idle first

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, caller: Caller, asked: Asked, meaning: bytes) -> Step:
        """Begin, or begin again: the same caller, key and meaning find the session where it is.

        Raises SessionProblem key_reused, too_many_sessions.
        """
        name = hashlib.blake2b(f"{len(caller.client)}:{caller.client}{caller.client_key}".encode(), digest_size=16).hexdigest()
        with self._lock:
            self._drop_idle()
            session = self._sessions.get(name)
            if session is not None and session.gives_way(meaning):
                del self._sessions[name]
                session = None
            if session is None:
                mine = sum(1 for other in self._sessions.values() if other.client == caller.client and other.script is not None)
                if len(self._sessions) >= SESSIONS_MAX or mine >= OF_CLIENT_MAX:
                    raise SessionProblem("too_many_sessions", "too many card sessions are open; end one or wait")
                session = self._sessions[name] = _Session(name, caller.client, meaning, Tap(self._room, caller, asked, meaning))
            elif session.meaning != meaning:
                raise SessionProblem("key_reused", "this client key was used for another session")
            self._touch(session)
        with session.lock:
            return session.last or self._advance(session, None, ())

    def step(self, client: str, name: str, number: int, answers: tuple[str, ...]) -> Step:
        """Take the answers to step `number`; what to send next, or the result. An empty answer means that the card is gone.

        Raises SessionProblem unknown_session, step_out_of_order, answer_malformed; the session stays as it is.
        """
        session = self._find(client, name)
        with session.lock:
            last = session.last
            if last is None:
                raise SessionProblem("unknown_session", "there is no such session")
            if number == last.step - 1 and answers == session.answered:
                return last
            if number != last.step or last.result is not None or len(answers) != len(last.commands):
                raise SessionProblem("step_out_of_order", f"the session is at step {last.step} and waits for {len(last.commands)} answers")
            decoded = None if "" in answers else _decode(answers[0])
            if decoded is None or number >= STEPS_MAX:
                return self._end(session, session.tap.torn(), answers)
            return self._advance(session, decoded, answers)

    def close(self, client: str, name: str) -> Step:
        """Give a session up; the last word about it. What was intended stays in flight. Raises SessionProblem unknown_session."""
        session = self._find(client, name)
        with session.lock:
            if session.last is not None and session.last.result is not None:
                return session.last
            return self._end(session, session.tap.torn(), ())

    # ------------------------------------------------------------ inside
    def _find(self, client: str, name: str) -> _Session:
        with self._lock:
            self._drop_idle()
            session = self._sessions.get(name)
            if session is None or session.client != client:
                raise SessionProblem("unknown_session", "there is no such session; what it intended is settled at the card's next tap")
            self._touch(session)
            return session

    def _touch(self, session: _Session) -> None:
        session.touched = self._monotonic()
        self._sessions.move_to_end(session.name)

    def _drop_idle(self) -> None:
        oldest = self._monotonic() - self._idle_s
        while self._sessions:
            name, session = next(iter(self._sessions.items()))
            if session.touched >= oldest:
                return
            del self._sessions[name]

    def _advance(self, session: _Session, answer: Answer | None, answers: tuple[str, ...]) -> Step:
        assert session.script is not None, "an ended session has a result"
        number = session.last.step + 1 if session.last is not None else 0
        try:
            command = next(session.script) if answer is None else session.script.send(answer)
        except StopIteration as done:
            return self._end(session, done.value, answers)
        except BaseException:
            self._forget(session)
            raise
        session.answered = answers
        session.last = Step(session=session.name, step=number, commands=(command.encode().hex(),))
        return session.last

    def _end(self, session: _Session, result: Result, answers: tuple[str, ...]) -> Step:
        number = session.last.step + 1 if session.last is not None else 0
        if session.script is not None:
            session.script.close()
            session.script = None
        session.answered = answers
        session.last = Step(session=session.name, step=number, result=result)
        return session.last

    def _forget(self, session: _Session) -> None:
        """A session that broke: asked again it begins anew, and finds what it had intended."""
        session.script = None
        with self._lock:
            self._sessions.pop(session.name, None)


def _decode(answer: str) -> Answer | None:
    """An answer from its hex; None for fewer than two octets, which is how a torn card shows itself (docs/simulator.md)."""
    try:
        octets = bytes.fromhex(answer)
        if len(octets) > ANSWER_MAX:
            raise SessionProblem("answer_malformed", f"an answer has at most {ANSWER_MAX} octets")
        return Answer.decode(octets) if len(octets) >= 2 else None
    except (ValueError, InvalidApdu) as error:
        raise SessionProblem("answer_malformed", "an answer is hex") from error


__all__ = ["CardSessions", "SessionProblem", "Step", "TapRefused"]
