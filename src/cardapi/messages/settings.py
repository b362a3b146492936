"""[messages] of `settings.toml`: which channels there are."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cardapi.custody import Secret
from cardapi.messages.channels import Apprise, Channel, FileSink, Webhook
from cardapi.messages.templates import check


class MessageSettings(msgspec.Struct, forbid_unknown_fields=True):
    """Every key is optional. Keep `settings.toml` to its owner (0600): gateways' addresses hold passwords."""

    file: str = ""  # path of the file sink; "" = DIR/messages/outbox.jsonl
    webhook: str = ""  # https address that gets every message of a member who agreed to "webhook"
    webhook_private: bool = False  # whether it may lead into a private network, and go in clear
    sms: str = ""  # an apprise address with {address} in it
    email: str = ""
    templates: dict[str, dict[str, str]] = {}  # name -> language -> text, in place of ours


def channels(settings: MessageSettings, directory: Path, key: Secret) -> dict[str, Channel]:
    """The ways out of a shop. Raises SendFailed for a webhook that may not be, BadTemplate."""
    for name, texts in settings.templates.items():
        check(name, texts)
    found: dict[str, Channel] = {"file": FileSink(Path(settings.file) if settings.file else directory / "messages" / "outbox.jsonl")}
    if settings.webhook:
        found["webhook"] = Webhook(settings.webhook, key, allow_private=settings.webhook_private)
    for name, address in (("sms", settings.sms), ("email", settings.email)):
        if address:
            found[name] = Apprise(address)
    return found
