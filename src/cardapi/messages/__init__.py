"""Messages to members (P06): what happened, in their language, over the channels they agreed to.

The journal is the outbox: an entry that calls for a message is durable with its effect or not at all. `collect` walks the
journal behind a kept position and makes messages; `courier` sends them, tries again later, and keeps what cannot be sent.
"""
