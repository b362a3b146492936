"""What lapses with time on cards: lots past their expiry, holds past their life (X01, X02, M6)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from cardapi.jobs.model import Context, Step, chunks
from cardapi.store.port import AccountRow
from cardcore.errors import Declined
from cardcore.settlement import Account, Expire, voided_at
from cardcore.settlement.lifecycle import admit

ACCOUNTS_A_STEP = 500


class Expiry:
    """Voids lapsed lots and gives back lapsed holds, card by card, as entries of their own."""

    name = "expiry"
    title = ("到期作废", "Expire lapsed value and holds")

    def steps(self, context: Context, day: datetime.date, cursor: str) -> Iterator[Step]:
        """See `Job.steps`. What has lapsed by now counts, whichever day is worked on."""
        del day
        after = int(cursor or 0)
        now = context.now()
        rows = (row for row in context.store.accounts() if row.account_id > after)
        for part in chunks(rows, ACCOUNTS_A_STEP):
            done = self._expire(context, part, now)
            yield Step(str(part[-1].account_id), {"accounts": len(part), "expired": done})

    def _expire(self, context: Context, rows: list[AccountRow], now: int) -> int:
        lapsed: dict[int, int] = {}
        accounts: dict[int, Account] = {}
        for row in rows:
            account = Account.unpack(row.state)
            accounts[row.account_id] = account
            times = [lot.expires_at for lot in account.lots() if 0 < lot.expires_at <= now]
            times += [hold.expires_at for hold in account.holds() if hold.expires_at <= now]
            if times:
                lapsed[row.account_id] = max(times)
        if not lapsed:
            return 0
        requests = []
        for account_id, found in context.store.read_accounts(list(lapsed)).items():
            card = found.card
            try:
                admit("expire", card.state, card.state_from, card.valid_until, card.flags, now)
            except Declined:  # a dead number: what is on it stays where it is
                continue
            version = context.registry.version(card.programme, now)
            if version is not None:  # lapsed points may be kept for a time of grace (R08)
                account = accounts[account_id]
                ends = [voided_at(version.programme, lot.purse, lot.expires_at) for lot in account.lots() if lot.expires_at]
                ends += [hold.expires_at for hold in account.holds()]
                lapsed[account_id] = max((end for end in ends if end <= now), default=0)
            if not lapsed[account_id]:
                continue
            # Named by the last time that lapsed, so that a refused one is not asked for again every day.
            key = f"job:expiry:{account_id}:{lapsed[account_id]}"
            requests.append(context.request("expire", key, card=card.number, command=Expire()))
        return len(context.do(requests)) if requests else 0
