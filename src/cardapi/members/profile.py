"""What is known of a person (Q05), how it is checked, sealed and found again.

Nothing here is written in clear: the whole profile is sealed under a custody key, and what it is found by are keyed names
of values (`Custody.blind`). Its `repr` shows nothing (A6).
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from typing import Final

import msgspec

from cardapi.custody import Custody
from cardapi.store.port import Record
from cardcore.errors import CardcoreError

TAGS_MAX: Final = 32
ATTRIBUTES_MAX: Final = 32
_PHONE = re.compile(r"\+?[0-9]{5,15}")
_TAG = re.compile(r"[^\s,;\x00-\x1f]{1,32}")
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,31}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999, ISO 7064 MOD 11-2
_CHECK: Final = "10X98765432"


class InvalidProfile(CardcoreError, ValueError):
    """A profile that cannot be kept; `facts["field"]` names the field. The value itself is not repeated."""

    code = "invalid_profile"


class Evidence(msgspec.Struct, forbid_unknown_fields=True):
    """Who somebody really is, as seen on a document (W3)."""

    document: str  # "id_card" (checked by its digits), "passport", "permit", "licence" (of an organisation)
    number: str
    name: str  # as on the document
    seen_by: str = ""  # operator who saw it
    seen_at: int = 0  # epoch seconds

    def __repr__(self) -> str:
        return "Evidence(***)"


class Profile(msgspec.Struct, forbid_unknown_fields=True):
    """A person's data."""

    name: str = ""
    phone: str = ""
    email: str = ""
    birthday: str = ""  # YYYY-MM-DD
    language: str = "zh"
    attributes: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    evidence: Evidence | None = None

    def __repr__(self) -> str:
        return "Profile(***)"


DOCUMENTS: Final = ("id_card", "passport", "permit", "licence")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Profile).decode


def clean(profile: Profile, today: datetime.date) -> Profile:
    """The profile in its one form: phone without blanks and +86, name without outer blanks. Raises InvalidProfile."""
    phone = clean_phone(profile.phone)
    _need(not phone or _PHONE.fullmatch(phone) is not None, "phone", "a phone number has 5 to 15 digits")
    _need(not profile.email or _EMAIL.fullmatch(profile.email) is not None, "email", "that is no e-mail address")
    _need(profile.language in ("zh", "en"), "language", "zh or en")
    birthday = born(profile.birthday) if profile.birthday else None
    _need(birthday is None or (birthday.year >= 1900 and birthday <= today), "birthday", "a birthday lies between 1900 and today")
    tags = tuple(sorted(set(profile.tags)))
    fits = len(tags) <= TAGS_MAX and all(_TAG.fullmatch(tag) for tag in tags)
    _need(fits, "tags", "at most 32 tags of 1 to 32 characters without blanks")
    attributes = profile.attributes
    known = all(_ATTRIBUTE.fullmatch(key) and 1 <= len(value) <= 200 for key, value in attributes.items())
    _need(known and len(attributes) <= ATTRIBUTES_MAX, "attributes", "at most 32 attributes: a-z, 0-9, _ and up to 200 characters of value")
    evidence = _clean_evidence(profile.evidence, birthday) if profile.evidence else None
    name = unicodedata.normalize("NFC", profile.name).strip()
    _need(len(name) <= 100 and name.isprintable(), "name", "a name has at most 100 characters")
    cleaned = Profile(name, phone, profile.email.strip(), profile.birthday, profile.language, attributes, tags, evidence)
    known_birthday(cleaned)
    return cleaned


def clean_phone(text: str) -> str:
    """Without blanks, hyphens, brackets and the prefix of China."""
    digits = re.sub(r"[\s()-]", "", text)
    return digits.removeprefix("+86").removeprefix("0086")


def clean_name(text: str) -> str:
    """As names are compared."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def masked(profile: Profile) -> Profile:
    """What a till needs to recognise a person, and no more."""
    mail = profile.email.partition("@")
    return Profile(
        mask(profile.name, 1, 0), mask(profile.phone, 3, 4), mask(mail[0], 1, 0) + mail[1] + mail[2] if mail[0] else "",
        profile.birthday[5:], profile.language, {}, profile.tags,
    )  # fmt: skip


def _need(fits: bool, field: str, detail: str) -> None:
    if not fits:
        raise InvalidProfile(f"{field}: {detail}", field=field)


def _clean_evidence(evidence: Evidence, birthday: datetime.date | None) -> Evidence:
    number = re.sub(r"[\s-]", "", evidence.number).upper()
    _need(evidence.document in DOCUMENTS, "evidence.document", f"one of {', '.join(DOCUMENTS)}")
    _need(4 <= len(number) <= 32 and number.isascii() and number.isalnum(), "evidence.number", "4 to 32 letters and digits")
    _need(1 <= len(evidence.name.strip()) <= 100, "evidence.name", "the name as on the document")
    if evidence.document == "id_card":
        _need(id_card_holds(number), "evidence.number", "the check digit does not fit")
        _need(birthday is None or number[6:14] == f"{birthday:%Y%m%d}", "birthday", "differs from the identity card")
    return Evidence(evidence.document, number, evidence.name.strip(), evidence.seen_by, evidence.seen_at)


def id_card_holds(number: str) -> bool:
    """Whether 17 digits and a check character are a resident identity number (GB 11643-1999)."""
    if re.fullmatch(r"[0-9]{17}[0-9X]", number) is None:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False))
    return number[17] == _CHECK[total % 11]


def born(text: str) -> datetime.date:
    """A birthday. Raises InvalidProfile."""
    try:
        if len(text) != 10:
            raise ValueError
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise InvalidProfile("birthday: written as YYYY-MM-DD", field="birthday") from error


def age(birthday: datetime.date, today: datetime.date) -> int:
    """Full years; who was born on 29 February is older on 1 March of other years."""
    return today.year - birthday.year - ((today.month, today.day) < (birthday.month, birthday.day))


def known_birthday(profile: Profile) -> datetime.date | None:
    """From the profile, else from the digits of an identity card."""
    if profile.birthday:
        return born(profile.birthday)
    if profile.evidence and profile.evidence.document == "id_card":
        digits = profile.evidence.number[6:14]
        return born(f"{digits[:4]}-{digits[4:6]}-{digits[6:]}")
    return None


def person_keys(profile: Profile) -> list[tuple[str, str]]:
    """What tells one person from another: no two members may share one (L09)."""
    keys = []
    if profile.evidence:
        keys.append(("document", profile.evidence.document + ":" + profile.evidence.number))
    if profile.phone:
        keys.append(("phone", profile.phone))
    return keys


def _search_keys(profile: Profile) -> list[tuple[str, str]]:
    keys = person_keys(profile) + [("tag", tag) for tag in profile.tags]
    if profile.phone:
        keys.append(("phone4", profile.phone[-4:]))
    if profile.name:
        keys.append(("name", clean_name(profile.name)))
    birthday = known_birthday(profile)
    if birthday is not None:
        keys.append(("birthday", f"{birthday:%m-%d}"))
    return keys


def seal(custody: Custody, member: str, profile: Profile) -> Record:
    """The record of a person's data."""
    keys = tuple(sorted((index, custody.blind(index, value)) for index, value in _search_keys(profile)))
    return Record("person", member, custody.seal(member, _encode(profile)), keys)


def unseal(custody: Custody, record: Record) -> Profile:
    """Raises CustodyError."""
    return _decode(custody.unseal(record.id, record.body))


def mask(text: str, head: int, tail: int) -> str:
    """The first and last characters, the rest as stars: 138****5678."""
    if len(text) <= head + tail:
        return text[:1] + "*" * (len(text) - 1)
    return text[:head] + "*" * (len(text) - head - tail) + text[len(text) - tail :]
