"""The life of a key: components of two people, confirmation by another, retirement; what is refused, and that refusing changes nothing.

The expected key is worked by hand from the components; its check value comes from the simulator's ciphers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cardapi.keys.errors import (
    CheckValueDiffers,
    ComponentMalformed,
    KeyNotValid,
    KeyRefused,
    KeyState,
    KeyStoreError,
    SamePerson,
    UnknownKey,
    UnknownPurpose,
)
from cardapi.keys.keeper import Keeper
from cardapi.keys.keyfile import PRODUCTION, TEST
from cardapi.keys.known import demo_key
from cardapi.keys.port import ACTIVE, FORMING, PENDING, RETIRED
from cardapi.keys.purposes import PURPOSES
from firmware_sim import ciphers, testkeys
from firmware_sim.pboc.suite import Suite
from tests.keys.ceremony import (
    ANN,
    BOB,
    EVE,
    FIRST,
    NOW,
    SECOND,
    WHOLE,
    ListJournal,
    active,
    enter,
    made,
    octets_of,
    passphrase,
    reopened,
    root,
)

SERIAL = bytes.fromhex("0000000000000001")
CHECK = ciphers.encrypt("des", bytes.fromhex(WHOLE), bytes(8))[:3].hex()


@pytest.fixture
def journal() -> ListJournal:
    return ListJournal()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "cards.keys"


@pytest.fixture
def keeper(path: Path, journal: ListJournal) -> Keeper:
    return made(path, journal)


def test_two_people_make_a_key_and_a_third_sees_none_of_it(path: Path, keeper: Keeper, journal: ListJournal) -> None:
    assert enter(keeper, 2, SECOND.lower(), ANN).state == FORMING
    again = reopened(path, journal)  # days may pass between the two
    formed = enter(again, 1, " ".join(FIRST[i : i + 4] for i in range(0, 32, 4)), BOB, expected_key=CHECK)
    assert (formed.state, formed.check_value, formed.test) == (PENDING, CHECK, False)
    info = again.activate(formed.id, by=ANN, at=NOW).info()
    assert info.state == ACTIVE
    card = reopened(path, journal).store.card_key(info.id, [SERIAL])
    assert octets_of(card) == Suite("3des", "folded").chain(bytes.fromhex(WHOLE), [SERIAL])
    told = path.read_text() + json.dumps(journal.documents)
    for secret in (FIRST, SECOND, WHOLE):
        assert secret.lower() not in told.lower()
    assert [document["event"] for document in journal.documents] == ["made", "component", "component", "activated"]
    assert [document["by"] for document in journal.documents] == [ANN, ANN, BOB, ANN]
    assert journal.documents[2]["components"][0] == {"number": 1, "by": BOB, "check_value": formed.components[0].check_value}


def test_a_forming_or_pending_key_is_not_used(keeper: Keeper) -> None:
    enter(keeper, 1, FIRST, ANN)
    for _ in range(2):
        with pytest.raises(KeyNotValid):
            keeper.store.card_key("pboc-load-tdes-1", [SERIAL])
        with pytest.raises(KeyNotValid):
            keeper.store.current("pboc-load", NOW)
        if keeper.record("pboc-load-tdes-1").state == FORMING:
            enter(keeper, 2, SECOND, BOB)


def test_one_person_is_not_two(keeper: Keeper) -> None:
    enter(keeper, 1, FIRST, ANN)
    with pytest.raises(SamePerson):
        enter(keeper, 2, SECOND, ANN)
    formed = enter(keeper, 2, SECOND, BOB)
    with pytest.raises(SamePerson):
        keeper.activate(formed.id, by=BOB, at=NOW)
    generated = keeper.generate("pboc-tac", "tdes", 1, by=EVE, at=NOW)
    with pytest.raises(SamePerson):
        keeper.activate(generated.id, by=EVE, at=NOW)


def unchanged(keeper: Keeper, path: Path, journal: ListJournal, error: type[KeyStoreError], step: Callable[[], object]) -> None:
    """The step is refused, and neither file nor journal nor the keeper's view moved."""
    before = path.read_bytes(), list(journal.documents), keeper.records(), keeper.store.keys()
    with pytest.raises(error):
        step()
    assert (path.read_bytes(), journal.documents, keeper.records(), keeper.store.keys()) == before


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ComponentMalformed),
        (FIRST[:-1], ComponentMalformed),
        (FIRST + "00", ComponentMalformed),
        ("G" * 32, ComponentMalformed),
        ("\uff11" * 32, ComponentMalformed),  # full-width digits
        ("00" * 16, KeyRefused),
        ("01" * 16, KeyRefused),
        ("A1B2C3D4E5F60718" * 2, KeyRefused),
        ("0101010101010101" + FIRST[:16], KeyRefused),
        ("11223344556677888877665544332211", KeyRefused),
        (testkeys.known_key("load").hex(), KeyRefused),
    ],
)
def test_what_is_no_component_is_refused(keeper: Keeper, path: Path, journal: ListJournal, text: str, error: type[KeyStoreError]) -> None:
    unchanged(keeper, path, journal, error, lambda: enter(keeper, 1, text, ANN))


def xor(one: str, two: str) -> str:
    return bytes(a ^ b for a, b in zip(bytes.fromhex(one), bytes.fromhex(two), strict=True)).hex()


@pytest.mark.parametrize(
    "whole",
    [
        "00" * 16,
        "A1B2C3D4E5F60718" * 2,
        "A1B2C3D4E5F60718" + "A0B3C2D5E4F70619",  # the same DES key: only parity differs
        "01FE01FE01FE01FE" + FIRST[:16],  # semi-weak
        "1F1F1F1F0E0E0E0E" + FIRST[:16],  # weak, by its parity bits written otherwise
        testkeys.known_key("load").hex(),
        testkeys.known_key("desfire-credit", 9).hex(),
        "11223344556677888877665544332211",
    ],
)
def test_components_that_make_no_good_key_are_refused(keeper: Keeper, path: Path, journal: ListJournal, whole: str) -> None:
    enter(keeper, 1, FIRST, ANN)
    unchanged(keeper, path, journal, KeyRefused, lambda: enter(keeper, 2, xor(FIRST, whole), BOB))
    assert enter(keeper, 2, SECOND, BOB).check_value == CHECK  # the ceremony goes on with the right one


def test_a_typing_error_is_seen_by_the_check_value(keeper: Keeper, path: Path, journal: ListJournal) -> None:
    right = enter(keeper, 1, FIRST, ANN).components[0].check_value
    assert right == ciphers.encrypt("des", bytes.fromhex(FIRST), bytes(8))[:3].hex()
    wrong = "2" + SECOND[1:]
    unchanged(keeper, path, journal, CheckValueDiffers, lambda: enter(keeper, 2, wrong, BOB, expected="ABCDEF"))
    unchanged(keeper, path, journal, CheckValueDiffers, lambda: enter(keeper, 2, wrong, BOB, expected_key=CHECK))
    unchanged(keeper, path, journal, CheckValueDiffers, lambda: enter(keeper, 2, SECOND, BOB, expected_key=CHECK[:5]))
    assert enter(keeper, 2, SECOND, BOB, expected_key=CHECK.upper()).state == PENDING


def test_a_component_has_its_place(keeper: Keeper, path: Path, journal: ListJournal) -> None:
    enter(keeper, 1, FIRST, ANN)
    steps: list[Callable[[], object]] = [
        lambda: enter(keeper, 1, SECOND, BOB),
        lambda: enter(keeper, 3, SECOND, BOB),
        lambda: enter(keeper, 0, SECOND, BOB),
        lambda: keeper.component("pboc-load", "tdes", 1, 2, 3, SECOND, by=BOB, at=NOW),
        lambda: keeper.component("pboc-load", "tdes", 2, 1, 1, SECOND, by=BOB, at=NOW),
        lambda: keeper.component("pboc-load", "tdes", 2, 1, 6, SECOND, by=BOB, at=NOW),
    ]
    for step in steps:
        unchanged(keeper, path, journal, ComponentMalformed, step)


def test_names_that_mean_nothing(keeper: Keeper, path: Path, journal: ListJournal) -> None:
    active(keeper)
    for error, step in (
        (UnknownPurpose, lambda: keeper.generate("pboc-lode", "tdes", 1, by=ANN, at=NOW)),
        (KeyState, lambda: keeper.generate("pboc-load", "aes", 1, by=ANN, at=NOW)),
        (KeyState, lambda: keeper.generate("pboc-load", "tdes", 0, by=ANN, at=NOW)),
        (KeyState, lambda: keeper.generate("pboc-load", "tdes", 256, by=ANN, at=NOW)),
        (KeyState, lambda: keeper.generate("pboc-load", "tdes", 1, by=ANN, at=NOW)),
        (UnknownKey, lambda: keeper.activate("pboc-load-tdes-2", by=BOB, at=NOW)),
        (KeyState, lambda: keeper.activate("pboc-load-tdes-1", by=EVE, at=NOW)),
        (KeyState, lambda: keeper.discard("pboc-load-tdes-1", by=EVE, at=NOW)),
    ):
        unchanged(keeper, path, journal, error, step)
    assert keeper.next_version("pboc-load", "tdes") == 2
    assert keeper.next_version("pboc-load", "sm4") == 1


def test_every_purpose_has_its_own_key(keeper: Keeper, path: Path, journal: ListJournal) -> None:
    enter(keeper, 1, FIRST, ANN)
    enter(keeper, 2, SECOND, BOB)
    keeper.component("pboc-tac", "tdes", 1, 1, 2, FIRST, by=ANN, at=NOW)
    unchanged(keeper, path, journal, KeyRefused, lambda: keeper.component("pboc-tac", "tdes", 1, 2, 2, SECOND, by=BOB, at=NOW))


def test_generated_keys_are_different_and_used_without_being_seen(keeper: Keeper, path: Path, journal: ListJournal) -> None:
    one, two = active(keeper), active(keeper, version=2)
    assert one.check_value != two.check_value
    assert keeper.store.current("pboc-load", NOW).version == 2
    ours = octets_of(keeper.store.card_key(two.id, [SERIAL]))
    assert ours == octets_of(reopened(path, journal).store.card_key(two.id, [SERIAL]))


def test_retiring(keeper: Keeper, path: Path, journal: ListJournal) -> None:
    first, store = active(keeper), keeper.store
    active(keeper, version=2)
    keeper.retire("pboc-load-tdes-2", by=EVE, at=NOW, reason="the paper was lost")
    assert store.current("pboc-load", NOW).id == first.id
    assert store.version("pboc-load", 2, NOW + 10).state == RETIRED  # cards that have it go on
    unchanged(keeper, path, journal, KeyState, lambda: keeper.retire("pboc-load-tdes-2", by=EVE, at=NOW))
    keeper.retire("pboc-load-tdes-2", by=EVE, at=NOW, ends=NOW + 5)
    with pytest.raises(KeyNotValid):
        store.version("pboc-load", 2, NOW + 5)
    assert store.version("pboc-load", 2, NOW + 4)
    unchanged(keeper, path, journal, KeyState, lambda: keeper.retire("pboc-load-tdes-2", by=EVE, at=NOW, ends=NOW + 6))
    assert keeper.retire("pboc-load-tdes-2", by=EVE, at=NOW, ends=NOW).valid_to == NOW  # revoked at once
    assert journal.documents[-1]["valid_to"] == NOW


def test_dates_of_activation(keeper: Keeper) -> None:
    name = keeper.generate("pboc-load", "tdes", 1, by=ANN, at=NOW).id
    with pytest.raises(KeyState):
        keeper.activate(name, by=BOB, at=NOW, valid_to=NOW)
    info = keeper.activate(name, by=BOB, at=NOW, valid_from=NOW + 10, valid_to=NOW + 20).info()
    assert [info.valid_at(NOW + s) for s in (9, 10, 19, 20)] == [False, True, True, False]


def test_discarding_what_was_never_in_use(keeper: Keeper, journal: ListJournal) -> None:
    enter(keeper, 1, FIRST, ANN)
    keeper.discard("pboc-load-tdes-1", by=BOB, at=NOW)
    assert keeper.records() == ()
    assert journal.documents[-1]["event"] == "discarded"
    assert enter(keeper, 1, FIRST, BOB).components[0].by == BOB


def test_production_has_no_test_keys_and_no_way_back(path: Path, journal: ListJournal) -> None:
    keeper = made(path, journal, TEST, root())
    keeper.add_demo_keys(by=ANN, at=NOW)
    assert keeper.store.current("pboc-load", NOW, "tdes").test
    assert len(keeper.store.keys()) == sum(len(purpose.algorithms) for purpose in PURPOSES.values())
    with pytest.raises(KeyState, match="root secret"):
        keeper.set_production(by=ANN, at=NOW)
    keeper.protect(passphrase(), by=ANN, at=NOW)
    with pytest.raises(KeyState, match="test keys"):
        keeper.set_production(by=ANN, at=NOW)
    mine = active(keeper, version=2)
    keeper.set_production(by=ANN, at=NOW, drop_test_keys=True)
    left = keeper.store.keys()
    assert [info.id for info in left] == [mine.id]
    keeper = reopened(path, journal)
    assert keeper.mode == PRODUCTION
    with pytest.raises(UnknownKey):
        keeper.store.card_key("pboc-load-tdes-1", [SERIAL])
    for step in (
        lambda: keeper.set_production(by=ANN, at=NOW),
        lambda: keeper.add_demo_keys(by=ANN, at=NOW),
        lambda: keeper.protect(root(), by=ANN, at=NOW),
    ):
        unchanged(keeper, path, journal, KeyState, step)


def test_production_does_not_begin_with_the_root_secret_alone(path: Path, journal: ListJournal) -> None:
    with pytest.raises(KeyState):
        made(path, journal, PRODUCTION, root())
    assert not path.exists()
    assert journal.documents == []


def test_a_test_store_takes_test_keys_and_says_so(path: Path, journal: ListJournal) -> None:
    keeper = made(path, journal, TEST, root())
    enter(keeper, 1, FIRST, ANN)
    formed = enter(keeper, 2, xor(FIRST, demo_key("pboc-load").hex()), BOB)
    assert formed.test
    keeper.discard(formed.id, by=ANN, at=NOW)


def test_nothing_gives_a_master_key_back(keeper: Keeper) -> None:
    """No export: no public operation of keeper or store answers with the octets, whatever key it is asked for."""
    info = active(keeper)
    for thing in (keeper, keeper.store):
        assert not any(word in name for name in dir(thing) if not name.startswith("_") for word in ("export", "reveal", "octets"))
    assert octets_of(keeper.store.card_key(info.id, [SERIAL])) != b""
    assert all(record.sealed and len(record.sealed) == 2 * (12 + 16 + 16) for record in keeper.records())
