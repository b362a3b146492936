"""Goal: sessions, passwords, grants, approvals and PINs hold against the obvious attacks (R3, R5, N). Method: short stories."""

from __future__ import annotations

from typing import Any

import pytest

from cardapi.http import cards
from cardapi.people.passwords import Passwords, WeakPassword
from tests.http.client import Person, Till
from tests.http.conftest import Chain
from tests.shops import PASSWORD


def test_the_token_is_stored_nowhere_and_ends_with_logout(chain: Chain) -> None:
    chain.person("cashier", "store-1")
    who = chain.login("cashier-store-1")
    assert who.get("/v1/schemes").status == 200
    assert chain.loop.run_until_complete(
        chain.shop.desk.ask(lambda store: not any(who.token.encode() in row[2] for row in store.documents()))
    )
    assert who.request("POST", "/v1/logout", None, "").status == 204
    assert who.get("/v1/schemes").code == "session_invalid"


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 44, "\u00e9" * 43, "x" * 42 + "="])
def test_strange_tokens(chain: Chain, token: str) -> None:
    assert Person(chain.client, token).get("/v1/schemes").code in ("session_invalid", "unauthenticated")


def test_a_session_expires(chain: Chain) -> None:
    chain.person("cashier", "store-1")
    who = chain.login("cashier-store-1")
    chain.clock.shift_us += 12 * 3600 * 1_000_000
    try:
        assert who.get("/v1/schemes").code == "session_invalid"
    finally:
        chain.clock.shift_us -= 12 * 3600 * 1_000_000
    assert who.get("/v1/schemes").status == 200


def test_wrong_name_and_wrong_password_look_alike(chain: Chain) -> None:
    wrong = chain.client.call("POST", "/v1/login", {"operator": "admin", "password": "not this one"})
    unknown = chain.client.call("POST", "/v1/login", {"operator": "nobody-here", "password": "not this one"})
    assert (wrong.status, wrong.code) == (401, "login_failed")
    assert unknown == wrong


def test_logins_are_throttled_by_name(chain: Chain) -> None:
    codes = [chain.client.call("POST", "/v1/login", {"operator": "guessed", "password": f"guess {n:05d}"}).code for n in range(12)]
    assert codes[:10] == ["login_failed"] * 10
    assert codes[10:] == ["too_many_requests"] * 2
    reply = chain.client.call("POST", "/v1/login", {"operator": "guessed", "password": "guess"})
    assert int(reply.headers["retry-after"]) >= 1
    chain.app.service.logins.forget()
    assert chain.login("admin").get("/v1/units").status == 200


def test_passwords() -> None:
    passwords = Passwords(quick=True)
    stored = passwords.hash("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert passwords.matches(stored, "correct horse battery")
    assert not passwords.matches(stored, "correct horse batterz")
    assert not passwords.matches(None, "no operator has this hash"), "nobody's hash opens nothing"
    assert not passwords.matches("not a hash", "x")
    for weak in ("x" * 9, "x" * 129, ""):
        with pytest.raises(WeakPassword):
            passwords.hash(weak)


def operator(chain: Chain, name: str, role: str, unit: str, who: Person | None = None):
    body = {"id": name, "name": name, "password": PASSWORD, "role": role, "unit": unit}
    return (who or chain.admin).post("/v1/operators", body)


def test_a_revoked_operator_is_out_at_once(chain: Chain) -> None:
    chain.made(operator(chain, "leaver", "manager", "store-1"))
    who = chain.login("leaver")
    assert who.get("/v1/units").status == 200
    assert chain.admin.post("/v1/operators/leaver/revoke", {"reason": "left"}).json["state"] == "revoked"
    assert who.get("/v1/units").code == "session_invalid"
    assert chain.client.call("POST", "/v1/login", {"operator": "leaver", "password": PASSWORD}).code == "login_failed"


def test_a_grant_never_exceeds_the_grantors_own(chain: Chain) -> None:
    manager = chain.person("manager", "store-1")
    for role in ("manager", "cashier"):
        assert operator(chain, f"by-manager-{role}", role, "store-1", manager).status == 201
    for role in ("hq", "admin", "auditor"):
        reply = operator(chain, f"by-manager-{role}", role, "store-1", manager)
        assert (reply.status, reply.code) == (403, "grant_exceeds_own")
    for unit in ("store-2", "north", "issuer"):
        assert operator(chain, "elsewhere", "cashier", unit, manager).code == "not_found"
    hq = chain.person("hq", "issuer")
    assert operator(chain, "by-hq", "admin", "store-1", hq).code == "grant_exceeds_own"
    assert hq.post("/v1/operators/admin/revoke", {"reason": "coup"}).code == "grant_exceeds_own"
    assert manager.post("/v1/operators/manager-store-1/grants", {"role": "cashier", "unit": "store-1"}).code == "maker_is_checker"


def stores(who: Person) -> set[str]:
    return {unit["id"] for unit in who.get("/v1/units?limit=1000").json["units"] if unit["kind"] == "store"}


def test_a_second_grant_widens_the_reach(chain: Chain) -> None:
    chain.made(operator(chain, "two-stores", "manager", "store-1"))
    who = chain.login("two-stores")
    assert stores(who) == {"store-1"}
    granted = chain.admin.post("/v1/operators/two-stores/grants", {"role": "manager", "unit": "store-3"})
    assert [grant["unit"] for grant in granted.json["grants"]] == ["store-1", "store-3"]
    assert stores(who) == {"store-1", "store-3"}


def test_passwords_and_hashes_are_in_no_answer(chain: Chain) -> None:
    shown = operator(chain, "shown", "cashier", "store-1").body + chain.admin.get("/v1/operators").body
    assert PASSWORD.encode() not in shown
    assert b"argon2" not in shown


def test_creating_twice(chain: Chain) -> None:
    body = {"id": "till-7", "unit": "store-1", "name": "seventh"}
    first = chain.admin.post("/v1/terminals", body, "till-7-key")
    assert chain.admin.post("/v1/terminals", body, "till-7-key").body == first.body, "a retry reads the same, key included"
    assert chain.admin.post("/v1/terminals", body).code == "exists"
    assert chain.admin.post("/v1/terminals", {**body, "name": "other"}, "till-7-key").code == "key_reused"


def test_units_cannot_hang_in_the_air(chain: Chain) -> None:
    body = {"id": "floating", "name": "x", "kind": "store", "parent": "nowhere"}
    assert chain.admin.post("/v1/units", body).code == "not_found"


# ---------------------------------------------------------------- two people
def test_an_adjustment_takes_two_people(chain: Chain, card: str) -> None:
    maker, checker = chain.person("manager", "store-1"), chain.person("manager", "issuer")
    mine = chain.made(maker.post("/v1/cards", {"programme": "mall-vip", "activate": True}))["cards"][0]["card"]
    asked = maker.post("/v1/adjust", {"card": mine, "purse": "principal", "amount": 500, "reason": "goodwill"}, "adjust-1")
    assert asked.status == 202
    assert (
        maker.post("/v1/adjust", {"card": mine, "purse": "principal", "amount": 500, "reason": "goodwill"}, "adjust-1").body == asked.body
    )
    assert chain.admin.get(f"/v1/cards/{mine}").json["balance_fen"] == 0, "nothing moved yet"
    path = f"/v1/approvals/{asked.json['approval_id']}/approve"
    assert maker.post(path).code == "maker_is_checker"
    assert chain.person("cashier", "store-1").post(path).code == "not_allowed"
    assert chain.person("manager", "store-3").post(path).code == "not_found"
    waiting = [row["id"] for row in checker.get("/v1/approvals").json["approvals"] if row["state"] == "pending"]
    assert asked.json["approval_id"] in waiting
    done = checker.post(path, {}, "approve-1")
    assert done.status == 200, done.body
    assert done.json["verb"] == "adjust"
    assert chain.admin.get(f"/v1/cards/{mine}").json["balance_fen"] == 500
    assert checker.post(path, {}, "approve-1").json["ticket_id"] == done.json["ticket_id"]
    assert checker.post(path, {}, "approve-2").json["ticket_id"] == done.json["ticket_id"], "another key has no second effect"
    assert chain.admin.post(path).code == "approval_closed"
    assert chain.admin.get(f"/v1/cards/{mine}").json["balance_fen"] == 500
    entry = chain.loop.run_until_complete(chain.shop.desk.ask(lambda store: store.entry(0, done.json["journal_position"])))
    assert entry is not None
    assert (entry.operator, entry.approver, entry.reason) == ("manager-store-1", "manager-issuer", "goodwill")


def test_a_second_login_of_the_maker_is_no_second_person(chain: Chain) -> None:
    """R3: who makes a login chooses its password. It approves nothing of its maker's, nor of another login by the same hand."""
    manager, other = chain.person("manager", "store-1"), chain.person("manager", "north")
    card = chain.card(paid_fen=10_000, who=manager)
    before = manager.get(f"/v1/cards/{card}").json["balance_fen"]
    puppets = []
    maker = manager
    for name in ("puppet-1", "puppet-2"):  # the second one made by the first
        body = {"id": name, "name": name, "password": PASSWORD, "role": "cashier", "unit": "store-1"}
        chain.made(maker.post("/v1/operators", body))
        chain.made(chain.person("hq", "issuer").post(f"/v1/operators/{name}/grants", {"role": "manager", "unit": "store-1"}))
        chain.app.service.logins.forget()
        maker = chain.login(name)
        puppets.append(maker)
    wish = {"card": card, "purse": "principal", "amount": 100_000, "reason": "mine"}
    for asking, approving in ((manager, puppets[0]), (manager, puppets[1]), (puppets[1], manager), (puppets[0], puppets[1])):
        asked = chain.made2(asking.post("/v1/adjust", wish))
        refused = approving.post(f"/v1/approvals/{asked['approval_id']}/approve", {"reason": "fine"})
        assert (refused.status, refused.code) == (403, "maker_is_checker")
    assert manager.get(f"/v1/cards/{card}").json["balance_fen"] == before
    chain.made(other.post(f"/v1/approvals/{asked['approval_id']}/approve", {"reason": "seen"}))
    assert manager.get(f"/v1/cards/{card}").json["balance_fen"] == before + 100_000


def test_a_request_waits_three_days_and_falls_with_its_maker(chain: Chain) -> None:
    chain.made(operator(chain, "hasty", "manager", "store-1"))
    maker = chain.login("hasty")
    mine = chain.made(maker.post("/v1/cards", {"programme": "mall-vip"}))["cards"][0]["card"]
    body = {"card": mine, "purse": "principal", "amount": 500, "reason": "x"}
    path = f"/v1/approvals/{chain.made2(maker.post('/v1/adjust', body))['approval_id']}/approve"
    checker = chain.person("manager", "issuer")
    chain.clock.shift_us += 73 * 3600 * 1_000_000
    try:
        late = chain.login("manager-issuer")
        assert late.post(path).code == "approval_expired"
    finally:
        chain.clock.shift_us -= 73 * 3600 * 1_000_000
    chain.made(chain.admin.post("/v1/operators/hasty/revoke", {"reason": "left"}))
    assert checker.post(path).code == "not_allowed"


# ---------------------------------------------------------------- cards and PINs
def test_a_pin_locks_after_three_wrong_tries(chain: Chain, till: Till) -> None:
    card = chain.card()
    path = f"/v1/cards/{card}"
    assert till.post(f"{path}/verify-pin", {"pin": "123456"}).code == "pin_not_set"
    assert till.post(f"{path}/set-pin", {"pin": "123456"}).status == 200
    assert till.post(f"{path}/verify-pin", {"pin": "123456"}).status == 200
    wrong = [till.post(f"{path}/verify-pin", {"pin": "654321"}) for _ in range(4)]
    assert [reply.code for reply in wrong] == ["pin_wrong"] * 3 + ["pin_locked"]
    assert [reply.json.get("tries_left") for reply in wrong[:3]] == [2, 1, 0]
    assert till.post(f"{path}/verify-pin", {"pin": "123456"}).code == "pin_locked", "the right one comes too late"
    view = till.get(path).json
    assert (view["pin_set"], view["pin_locked"]) == (True, True)
    assert till.post(f"{path}/unlock-pin", {"reason": "x"}).code == "not_allowed"
    assert chain.admin.post(f"{path}/unlock-pin", {"reason": "identity checked"}).status == 200
    assert till.post(f"{path}/verify-pin", {"pin": "123456"}).status == 200


def test_a_repeated_wrong_try_counts_once(chain: Chain, till: Till) -> None:
    card = chain.card()
    till.post(f"/v1/cards/{card}/set-pin", {"pin": "123456"})
    first = till.post(f"/v1/cards/{card}/verify-pin", {"pin": "000000"}, "try-1")
    assert till.post(f"/v1/cards/{card}/verify-pin", {"pin": "000000"}, "try-1").body == first.body
    assert till.post(f"/v1/cards/{card}/verify-pin", {"pin": "000001"}, "try-1").code == "key_reused"
    assert till.post(f"/v1/cards/{card}/verify-pin", {"pin": "000001"}).json["tries_left"] == 1


def test_a_new_pin_needs_the_old_one_or_a_manager(chain: Chain, till: Till) -> None:
    path = f"/v1/cards/{chain.card()}"
    assert till.post(f"{path}/set-pin", {"pin": "111111"}, "set-1").status == 200
    assert till.post(f"{path}/set-pin", {"pin": "111111"}, "set-1").status == 200, "a retry is no second change"
    assert till.post(f"{path}/set-pin", {"pin": "222222"}).code == "pin_required"
    assert till.post(f"{path}/set-pin", {"pin": "222222", "reason": "please"}).code == "pin_required"
    assert till.post(f"{path}/set-pin", {"pin": "222222", "old_pin": "999999"}).code == "pin_wrong"
    assert till.post(f"{path}/set-pin", {"pin": "222222", "old_pin": "111111"}).status == 200
    assert chain.admin.post(f"{path}/set-pin", {"pin": "333333", "reason": "forgotten"}).status == 200
    assert till.post(f"{path}/verify-pin", {"pin": "333333"}).status == 200


def test_a_retry_that_overtakes_its_first_try_has_the_same_answer(chain: Chain, till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PIN is set by the first try while the second one looks at the card (O2)."""
    path, body = f"/v1/cards/{chain.card()}/set-pin", b'{"pin":"260815"}'
    read, first = cards.read, []

    def headers() -> dict[str, str]:
        return {**till.headers("POST", path, body, "overtaken"), "Idempotency-Key": "overtaken"}

    async def slow(service: Any, number: str) -> Any:
        monkeypatch.setattr(cards, "read", read)
        first.append(await chain.client.acall("POST", path, body, headers()))
        return await read(service, number)

    monkeypatch.setattr(cards, "read", slow)
    second = chain.client.call("POST", path, body, headers())
    assert (second.status, second.json) == (200, first[0].json)


def test_a_manager_resets_pins_of_his_own_stores_cards(chain: Chain) -> None:
    """As with unlocking: with a PIN of one's own choosing, any card of the chain could be spent."""
    here, elsewhere = chain.person("manager", "store-1"), chain.person("manager", "store-3")
    path = f"/v1/cards/{chain.card(who=elsewhere)}"
    assert here.post(f"{path}/set-pin", {"pin": "111111"}).status == 200, "a first one anybody at a till may help with"
    assert here.post(f"{path}/set-pin", {"pin": "222222", "reason": "forgotten"}).code == "pin_required"
    assert elsewhere.post(f"{path}/set-pin", {"pin": "333333", "reason": "forgotten"}).status == 200
    assert here.post(f"{path}/verify-pin", {"pin": "333333"}).status == 200


def test_no_pin_is_ever_in_the_database(chain: Chain, till: Till) -> None:
    pin = "739204815"
    path = f"/v1/cards/{chain.card()}"
    till.post(f"{path}/set-pin", {"pin": pin})
    till.post(f"{path}/verify-pin", {"pin": pin})
    files = [path for path in chain.shop.directory.rglob("*") if path.is_file()]
    assert files
    assert not any(pin.encode() in path.read_bytes() for path in files)


def test_a_card_lives_as_the_state_table_says(chain: Chain, till: Till) -> None:
    card = chain.card(paid_fen=100_000)
    money = chain.admin.get(f"/v1/cards/{card}").json["balance_fen"]
    assert till.post(f"/v1/cards/{card}/lost", {"reason": "bus"}).status == 200
    assert till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 1}]}).code == "card_lost"
    made = chain.admin.post(f"/v1/cards/{card}/reissue", {"reason": "lost"}, "reissue-1")
    fresh = made.json["new_card"]
    assert chain.admin.post(f"/v1/cards/{card}/reissue", {"reason": "lost"}, "reissue-1").body == made.body
    assert chain.admin.get(f"/v1/cards/{fresh}").json["balance_fen"] == money, "value follows the holder"
    assert till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 1}]}).status == 409, "the old number is dead"
    assert till.post("/v1/settle", {"card": fresh, "lines": [{"amount_fen": 100}]}).status == 200
    assert chain.admin.post(f"/v1/cards/{fresh}/freeze", {"reason": "dispute"}).status == 200
    assert till.post("/v1/settle", {"card": fresh, "lines": [{"amount_fen": 1}]}).code == "card_not_active"
    assert chain.admin.post(f"/v1/cards/{fresh}/unfreeze", {"reason": "settled"}).status == 200
    assert chain.admin.post(f"/v1/cards/{fresh}/take-back", {}).code == "state_not_allowed", "there is value on it"


def test_taking_back_and_destroying_are_two_people(chain: Chain) -> None:
    card = chain.card()
    assert chain.admin.post(f"/v1/cards/{card}/take-back", {}).status == 200
    assert chain.admin.post(f"/v1/cards/{card}/destroy", {"reason": "count"}).code == "maker_is_checker"
    assert chain.person("hq", "issuer").post(f"/v1/cards/{card}/destroy", {"reason": "count"}).status == 200


def test_issuing_many_is_one_call(chain: Chain) -> None:
    made = chain.admin.post("/v1/cards", {"programme": "mall-vip", "count": 5, "activate": True}, "issue-5")
    numbers = [row["card"] for row in made.json["cards"]]
    assert len(set(numbers)) == 5
    again = chain.admin.post("/v1/cards", {"programme": "mall-vip", "count": 5, "activate": True}, "issue-5")
    assert again.body == made.body
    assert chain.admin.post("/v1/cards", {"programme": "mall-vip", "count": 6, "activate": True}, "issue-5").code == "key_reused"
    assert chain.admin.post("/v1/cards", {"programme": "mall-vip", "card": numbers[0]}).code == "number_taken"
    assert chain.admin.post("/v1/cards", {"programme": "mall-vip", "card": "6200000000000019"}).code == "invalid_payload"
    assert chain.admin.post("/v1/cards", {"programme": "none"}).code == "unknown_programme"


def test_statements_page_backwards(chain: Chain, till: Till, card: str) -> None:
    for _ in range(4):
        chain.made(till.post("/v1/settle", {"card": card, "lines": [{"amount_fen": 100}]}))
    seen, cursor = [], ""
    while True:
        page = till.get(f"/v1/cards/{card}/statement?limit=3{'&cursor=' + cursor if cursor else ''}").json
        seen += [entry["journal_position"] for entry in page["entries"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 7  # issue, activate, topup and four sales


def test_published_programmes_do_not_change(chain: Chain) -> None:
    from tests.http.conftest import SCHEMES

    text = (SCHEMES / "spa.toml").read_text()
    assert chain.admin.post("/v1/schemes", {"pack": text + "\n# changed\n"}).code == "exists"
    bad = chain.admin.post("/v1/schemes", {"pack": "schema = 1\nname = 3\n"})
    assert (bad.status, bad.code) == (422, "invalid_pack")
    assert all({"line", "path", "reason"} <= set(problem) for problem in bad.json["problems"])


def test_a_day_is_closed_once(chain: Chain) -> None:
    day = {"day": "2026-01-01"}
    early = chain.admin.post("/v1/closes", {"day": "2999-01-01"})
    assert early.code == "close_refused"
    assert chain.admin.post("/v1/closes", {"day": "2026-02-30"}).code == "bad_value"
    first = chain.admin.post("/v1/closes", day)
    assert first.status == 200, first.body
    assert first.json["ok"] is True
    assert chain.admin.post("/v1/closes", day).json == first.json
