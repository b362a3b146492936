"""Trial balance: every ledger account's total, folded from the postings of the whole journal.

It proves M1 (each unit sums to zero) and M10 (customers' money equals the liability that the journal carries), and gives
the sales figures per terminal, against which a till's own records can be held.
"""

from __future__ import annotations

from typing import Any

from cardapi.reports.figures import Figures, Ledger, Progress, cleared, fold_tills, journal, settled, whole
from cardcore.settlement import CUSTOMER_MONEY


def trial_balance(store: Ledger, *, terminals: bool = True, progress: Progress | None = None) -> dict[str, Any]:
    """Fold the journal up to its present heads.

    Answer: `ok`; `heads` [{partition, position, liability_fen}]; `accounts` [{account, unit, debit, credit, balance}] where
    value leaves by debit and arrives by credit; `sums` {unit: sum of all balances, 0 when in order}; `liability_fen` (customers'
    and held money by postings) and `liability_head_fen` (what the heads carry); `total` and `terminals`: see `Figures`.
    """
    heads = store.heads()
    debit: dict[tuple[str, str], int] = {}
    credit: dict[tuple[str, str], int] = {}
    tills: dict[tuple[str, str], Figures] = {}
    entries = 0
    for entry in journal(store, whole(heads), progress):
        entries += 1
        fold_tills(tills, entry)
        batch = cleared(entry)
        if batch is not None:
            paid_fen = -batch.liability_delta_fen
            debit["on_card", "fen"] = debit.get(("on_card", "fen"), 0) + paid_fen
            credit["sales", "fen"] = credit.get(("sales", "fen"), 0) + paid_fen
        done = settled(entry)
        if done is None:
            continue
        for posting in done.postings():
            source, target = (posting.source, posting.unit), (posting.target, posting.unit)
            debit[source] = debit.get(source, 0) + posting.amount
            credit[target] = credit.get(target, 0) + posting.amount
    accounts: list[dict[str, Any]] = []
    sums: dict[str, int] = {}
    for name, unit in sorted(debit.keys() | credit.keys()):
        out, into = debit.get((name, unit), 0), credit.get((name, unit), 0)
        accounts.append({"account": name, "unit": unit, "debit": out, "credit": into, "balance": into - out})
        sums[unit] = sums.get(unit, 0) + into - out
    liability = sum(row["balance"] for row in accounts if row["account"] in CUSTOMER_MONEY and row["unit"] == "fen")
    carried = sum(head.liability_fen for head in heads)
    total = Figures()
    for till in tills.values():
        total.merge(till)
    answer: dict[str, Any] = {
        "ok": all(balance == 0 for balance in sums.values()) and liability == carried == total.liability_delta_fen,
        "heads": [{"partition": head.partition, "position": head.position, "liability_fen": head.liability_fen} for head in heads],
        "entries": entries,
        "accounts": accounts,
        "sums": sums,
        "liability_fen": liability,
        "liability_head_fen": carried,
        "total": total.as_json(),
    }
    if terminals:
        answer["terminals"] = [
            {"unit": unit, "terminal": terminal, **figures.as_json()} for (unit, terminal), figures in sorted(tills.items())
        ]
    return answer
