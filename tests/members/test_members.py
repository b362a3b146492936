"""Goal: a member's life through the served operations: enrol, find, link, merge and split, disqualify, export, erase.

Method: the whole edge over a real desk and store; after the steps that matter the journal is replayed (`verify`).
"""

from __future__ import annotations

from tests.http.conftest import Chain
from tests.members.conftest import ID_CARD, People
from tests.shops import journal


def sound(chain: Chain) -> None:
    report = chain.shop.verify(chain.shop.store.reader())
    assert report.ok, report.first_bad


def test_enrol_show_and_retry(chain: Chain, people: People) -> None:
    card = chain.card(paid_fen=10_000)
    body = people.body(card=card, consents=["sms"], tags=["vip", "tea"])
    made = chain.made(people.manager.post("/v1/members", body, "enrol-once"))
    assert made["cards"] == [card]
    assert (made["name"], made["phone"], made["tags"]) == ("张伟", body["phone"], ["tea", "vip"])
    assert chain.made(people.manager.post("/v1/members", body, "enrol-once")) == made
    assert people.manager.post("/v1/members", {**body, "name": "王"}, "enrol-once").code == "key_reused"
    sound(chain)


def test_a_till_sees_a_member_masked(chain: Chain, people: People) -> None:
    made = people.enrol(email="wei@example.com", attributes={"size": "xl"})
    shown = chain.made(chain.tills["store-3"].get(f"/v1/members/{made['member']}"))
    assert shown["name"] == "张*"
    assert shown["phone"] == made["phone"][:3] + "****" + made["phone"][-4:]
    assert (shown["birthday"], shown["email"], shown["attributes"]) == ("03-15", "w**@example.com", {})
    elsewhere = chain.made(chain.person("manager", "south").get(f"/v1/members/{made['member']}"))
    assert elsewhere["phone"] == shown["phone"], "a manager of another region has no reach to this member"


def test_one_account_per_person(chain: Chain, people: People) -> None:
    made = people.enrol()
    again = people.manager.post("/v1/members", people.body(phone="+86 " + made["phone"]))
    assert (again.status, again.code) == (409, "member_exists")
    document = {"document": "id_card", "number": ID_CARD, "name": "李娜"}
    first = people.enrol(evidence=document, birthday="")
    assert first["real_name"]
    assert people.manager.post("/v1/members", people.body(evidence=document, birthday="")).code == "member_exists"
    people.step(first["member"], "erase", {"reason": "asked"})
    people.enrol(evidence=document, birthday="")


def test_referral_is_one_level_deep(chain: Chain, people: People) -> None:
    first = people.enrol()
    second = people.enrol(referrer=first["member"])
    third = people.manager.post("/v1/members", people.body(referrer=second["member"]))
    assert (third.status, third.code) == (409, "referral_too_deep")
    found = chain.made(people.manager.post("/v1/members/search", {"referrer": first["member"]}))
    assert [row["member"] for row in found["members"]] == [second["member"]]
    assert people.manager.post("/v1/members", people.body(referrer="m00-0000ffffffff")).code == "unknown_member"


def test_search_by_every_property_and_by_pages(chain: Chain, people: People) -> None:
    names = sorted(people.enrol(name="欧阳修", tags=["page"], birthday="1988-02-29")["member"] for _ in range(5))
    pages, cursor = [], ""
    while True:
        page = chain.made(people.manager.post("/v1/members/search", {"tag": "page", "limit": 2, "cursor": cursor}))
        pages += [row["member"] for row in page["members"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert pages == names
    one = people.get(names[0])
    for asked in ({"phone": one["phone"]}, {"phone4": one["phone"][-4:]}, {"name": " 欧阳修 "}, {"birthday": "02-29"}):
        found = chain.made(people.manager.post("/v1/members/search", {**asked, "limit": 200}))
        assert names[0] in [row["member"] for row in found["members"]], asked
    assert chain.made(people.manager.post("/v1/members/search", {"name": "欧阳"}))["members"] == []
    assert people.manager.post("/v1/members/search", {"name": "a", "phone": "12345"}).code == "bad_value"


def test_changing_a_profile_moves_what_it_is_found_by(chain: Chain, people: People) -> None:
    made = people.enrol(tags=["old"])
    changed = chain.made(people.step(made["member"], "profile", {"tags": ["new"], "phone": "13711112222"}))
    assert (changed["name"], changed["phone"], changed["tags"]) == ("张伟", "13711112222", ["new"])
    for asked, there in (({"tag": "old"}, False), ({"tag": "new"}, True), ({"phone": made["phone"]}, False)):
        found = chain.made(people.manager.post("/v1/members/search", asked))["members"]
        assert (made["member"] in [row["member"] for row in found]) is there
    for wrong in ({"phone": "12"}, {"birthday": "2990-01-01"}, {"tags": ["a b"]}, {"attributes": {"A": "x"}}, {"email": "nobody"}):
        reply = people.step(made["member"], "profile", wrong)
        assert (reply.status, reply.code) == (422, "invalid_profile"), wrong
    bad = people.step(made["member"], "profile", {"evidence": {"document": "id_card", "number": "110105194912310021", "name": "x"}})
    assert bad.code == "invalid_profile"
    assert b"110105194912310021" not in bad.body
    assert people.get(made["member"]) == changed


def test_a_card_follows_its_holder_through_an_exchange(chain: Chain, people: People) -> None:
    card = chain.card(paid_fen=5_000)
    made = people.enrol(card=card)
    swapped = chain.made(people.manager.post(f"/v1/cards/{card}/swap", {}))
    assert people.get(made["member"])["cards"] == [swapped["new_card"]]
    other = people.enrol()
    assert people.step(other["member"], "cards", {"card": swapped["new_card"]}).code == "card_has_member"
    assert people.step(other["member"], "cards/unlink", {"card": swapped["new_card"]}).code == "card_without_member"
    chain.made(people.step(made["member"], "cards/unlink", {"card": swapped["new_card"]}))
    chain.made(people.step(other["member"], "cards", {"card": swapped["new_card"]}))
    assert people.get(other["member"])["cards"] == [swapped["new_card"]]
    assert people.get(made["member"])["cards"] == []
    sound(chain)


def test_merge_and_split_take_two_people(chain: Chain, people: People) -> None:
    cards = [chain.card(), chain.card()]
    one, two = people.enrol(card=cards[0]), people.enrol(card=cards[1])
    asked = chain.made2(people.step(one["member"], "merge", {"into": two["member"], "reason": "enrolled twice"}))
    alone = people.manager.post(f"/v1/approvals/{asked['approval_id']}/approve", {})
    assert alone.code == "maker_is_checker"
    assert people.get(one["member"])["state"] == "active", "nothing moved yet"
    chain.made(people.second.post(f"/v1/approvals/{asked['approval_id']}/approve", {}))
    assert people.get(two["member"])["cards"] == sorted(cards)
    assert people.get(one["member"])["merged_into"] == two["member"]
    assert people.step(one["member"], "consent", {"consents": []}).code == "member_state"
    chain.made(people.by_two(one["member"], "split", {"reason": "two people after all"}))
    assert people.get(one["member"])["cards"] == [cards[0]]
    assert people.get(two["member"])["cards"] == [cards[1]]
    assert people.by_two(one["member"], "split", {"reason": "again"}).code == "not_merged"
    sound(chain)


def test_disqualification_zeroes_the_points(chain: Chain, people: People) -> None:
    card = chain.card(paid_fen=100_000)
    made = people.enrol(card=card)
    chain.made(chain.tills["store-1"].post("/v1/settle", {"card": card, "lines": [{"amount_fen": 50_000}]}))
    assert chain.made(people.manager.get(f"/v1/cards/{card}"))["points"] > 0
    before = chain.made(people.manager.get(f"/v1/cards/{card}"))["balance_fen"]
    done = chain.made(people.by_two(made["member"], "disqualify", {"reason": "cheating"}))
    assert (done["member"], done["verb"]) == (made["member"], "disqualify")
    after = chain.made(people.manager.get(f"/v1/cards/{card}"))
    assert (after["points"], after["balance_fen"]) == (0, before), "points go, money stays"
    assert people.get(made["member"])["state"] == "disqualified"
    sound(chain)


def test_states_and_their_refusals(chain: Chain, people: People) -> None:
    name = people.enrol()["member"]
    for state, code in (("active", "member_state"), ("suspended", ""), ("suspended", "member_state"), ("left", ""), ("active", "")):
        reply = people.step(name, "state", {"state": state, "reason": "test"})
        assert reply.code == code, (state, reply.body)
    assert people.get(name)["state"] == "active"


def test_export_is_whole_and_leaves_a_trace(chain: Chain, people: People) -> None:
    evidence = {"document": "passport", "number": "E 1234-5678", "name": "Zhang Wei"}
    name = people.enrol(evidence=evidence)["member"]
    assert "E12345678" not in str(people.get(name))
    shown = chain.made(people.step(name, "export", {"reason": "asked for a copy"}))
    assert shown["evidence"]["number"] == "E12345678"
    assert shown["evidence"]["seen_by"] == "manager-issuer"
    told = [(entry.operator, entry.reason) for entry in journal(chain.shop) if entry.verb == "disclose"]
    assert told[-1] == ("manager-issuer", "asked for a copy")


def test_erasure_forgets_the_person_and_keeps_the_books(chain: Chain, people: People) -> None:
    card = chain.card(paid_fen=20_000)
    made = people.enrol(card=card)
    balance = chain.made(people.manager.get(f"/v1/cards/{card}"))["balance_fen"]
    chain.made(people.step(made["member"], "erase", {"reason": "asked to be forgotten"}))
    shown = people.get(made["member"])
    assert (shown["state"], shown["name"], shown["phone"], shown["cards"]) == ("erased", "", "", [])
    assert chain.shop.store.reader().records("person", [made["member"]]) == {}
    assert chain.made(people.manager.get(f"/v1/cards/{card}"))["balance_fen"] == balance
    assert people.step(made["member"], "erase", {"reason": "again"}).code == "member_state"
    people.enrol(phone=made["phone"], card=card)
    sound(chain)


def test_gift_cards_carry_no_member_data(chain: Chain, people: People) -> None:
    from tests.http.conftest import SCHEMES

    chain.admin.post("/v1/schemes", {"pack": (SCHEMES / "gift-card.toml").read_text()}, "gift")
    made = chain.made(chain.admin.post("/v1/cards", {"programme": "gift-card"}))
    card = made["cards"][0]["card"]
    assert people.manager.post("/v1/members", people.body(card=card)).code == "member_not_allowed"
