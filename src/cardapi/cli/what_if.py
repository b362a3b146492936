"""`cardcore scheme what-if`: recorded tickets under another pack, before anybody is bound by it (N4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardapi.cli.books import beside
from cardapi.cli.options import DEFAULT_DATA, DataDir, Json
from cardapi.cli.packs import read_pack
from cardapi.cli.show import Mistake, emit_json, progress, say, table, yuan

if TYPE_CHECKING:
    from cardapi.app import Shop
    from cardapi.cli.replay.source import Source
    from cardapi.whatif.journal import Journal
    from cardapi.whatif.report import Side
    from cardapi.whatif.tickets import Ticket
    from cardcore.settlement import Programme

FOREVER_US = 2**62
Day = typer.Option(help="A day such as 2026-01-31, by the pack's own calendar.")


def what_if(
    packs: Annotated[list[str], typer.Argument(metavar="PACK...", help="Packs to try: files, or names of packs that ship with cardcore.")],
    against: Annotated[str, typer.Option("--against", help="Compare with this pack in place of what happened.")] = "",
    data: DataDir = DEFAULT_DATA,
    cards: Annotated[str, typer.Option("--cards", help="The programme whose cards are looked at; needed where a shop has several.")] = "",
    first: Annotated[str, typer.Option("--from", help="Count from this day on, such as 2026-01-31.")] = "",
    last: Annotated[str, typer.Option("--to", help="Count up to and with this day.")] = "",
    tickets: Annotated[str, typer.Option("--tickets", help="In place of a shop's journal: complete-journey, generated or auto.")] = "",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="With --tickets: only the first so many.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --tickets: decides who pays cash, and what is generated.")] = 1,
    spend_points: Annotated[bool, typer.Option("--spend-points", help="With --tickets: customers pay with points where they may.")] = False,
    picture: Annotated[Path | None, typer.Option("--picture", help="Write an SVG picture to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Replay recorded tickets under other packs, in memory: cost, liability, tier moves, who gains and who loses.

    Nothing is written, and it works beside a running service. What a pack cannot do as it was is done as near to it as a till
    would, counted and told.

    Example: cardcore scheme what-if four-tiers --data var/shop --picture tiers.svg
    """
    names = [*packs, *([against] if against else [])]
    texts = {name: read_pack(name) for name in names}
    if tickets:
        report = _of_tickets(texts, packs, against or "replay", tickets, limit, seed, spend_points)
    else:
        with beside(data) as shop:
            report = _of_journal(shop, texts, packs, against, cards, first, last)
    if picture is not None:
        from cardapi.whatif.picture import picture as draw

        picture.write_text(draw(report), encoding="utf-8")
    if as_json:
        emit_json(report)
    else:
        _show(report)
        if picture is not None:
            say(f"picture: {picture}")


def _compiled(text: bytes) -> Programme:
    from cardcore.settlement import pack

    return pack.load(text)


# ---------------------------------------------------------------- a shop's journal
def _of_journal(
    shop: Shop, texts: dict[str, bytes], packs: list[str], against: str, cards: str, first: str, last: str
) -> dict[str, Any]:  # fmt: skip
    from cardapi.people import policy
    from cardapi.whatif.journal import Journal
    from cardapi.whatif.report import Side
    from cardapi.whatif.world import World

    programmes = {name: _compiled(text) for name, text in texts.items()}
    chosen = _whose_cards(shop, cards, [programmes[name].name for name in packs])
    asks = frozenset().union(
        *(policy.read(text.decode())[2] for text in texts.values()),
        *(version.asks for name in shop.registry.programme_names() for version in shop.registry.versions(name)),
    )
    offset_s = _offset(shop, chosen)
    from_us, to_us = _window(first, last, offset_s)

    def counted(account_id: int, at_us: int) -> bool:
        return from_us <= at_us <= to_us and past.programmes.get(account_id) == chosen

    total = 2 * sum(head.position for head in shop.store.heads())
    with shop.store.snapshot(), progress("entries", total) as advance:
        past = Journal(shop.store, shop.registry, shop.custody, asks, counted, to_us, advance)
        advance(past.entries())
        worlds = {
            name: World(_replaced(past, chosen, programmes[name]), past.named, counted, _deciding(past, chosen, programmes[name], text))
            for name, text in texts.items()
        }  # fmt: skip
        for happening in past.happenings():
            for world in worlds.values():
                world.happen(happening)
    current = past.programme_of(next((account for account, name in past.programmes.items() if name == chosen), 0), past.ended_at)
    record = Side("what happened", current, past.tally, past.accounts)
    sides = {name: Side(f"{programmes[name].name} {programmes[name].version}", programmes[name], world.tally, world.accounts)
             for name, world in worlds.items()}  # fmt: skip
    counted_cards = [account for account, name in past.programmes.items() if name == chosen]
    end = min(past.ended_at, to_us // 1_000_000)
    report = _report(sides[against] if against else record, [sides[name] for name in packs], counted_cards, end, past.numbers.__getitem__)
    report["what_happened"] = _side(record, counted_cards, end)
    report["source"] = f"cards of {chosen} in the journal"
    report["notes"] = _journal_notes(past, [programmes[name] for name in texts], asks)
    return report


def _replaced(past: Journal, chosen: str, programme: Programme) -> Any:
    def programme_of(account_id: int, at: int) -> Programme:
        return programme if past.programmes[account_id] == chosen else past.programme_of(account_id, at)

    return programme_of


def _deciding(past: Journal, chosen: str, programme: Programme, text: bytes) -> Any:
    """`_replaced`, without benefits for cards whose member sleeps at that moment of the record."""
    from cardcore.settlement import pack

    asleep = pack.load_asleep(text)

    def deciding(account_id: int, at: int) -> Programme:
        if past.programmes[account_id] != chosen:
            return past.deciding(account_id, at)
        return asleep if account_id in past.asleep else programme

    return deciding


def _whose_cards(shop: Shop, cards: str, names: list[str]) -> str:
    known = shop.registry.programme_names()
    if cards and cards not in known:
        raise Mistake("unknown_programme", f"this shop has no programme {cards!r}; it has: {', '.join(known) or 'none'}")
    held = {card.programme for card in shop.store.cards()}
    for name in (cards, *names):
        if name in held:
            return name
    if cards or len(held) != 1:
        raise Mistake("which_cards", f"say with --cards whose cards are meant; there are cards of: {', '.join(sorted(held)) or 'none'}")
    return held.pop()


def _offset(shop: Shop, chosen: str) -> int:
    from cardcore.settlement import pack

    return int(pack.normalise(shop.registry.versions(chosen)[-1].pack, published=True)["utc_offset_s"])


def _window(first: str, last: str, offset_s: int) -> tuple[int, int]:
    """The bounds of the window in microseconds. Raises Mistake."""
    zone = timezone(timedelta(seconds=offset_s))
    try:
        start = datetime.fromisoformat(first).replace(tzinfo=zone) if first else None
        end = datetime.fromisoformat(last).replace(tzinfo=zone) + timedelta(days=1) if last else None
    except ValueError:
        raise Mistake("bad_day", f"{first or last!r} is no day such as 2026-01-31") from None
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    micro = timedelta(microseconds=1)
    return (start - epoch) // micro if start else 0, ((end - epoch) // micro - 1) if end else FOREVER_US


def _journal_notes(past: Journal, programmes: list[Programme], asks: frozenset[str]) -> list[str]:
    notes = []
    lines, fen = past.uncategorised
    if lines and any(rule["categories"] is not None for programme in programmes for rule in programme.rules):
        notes.append(f"{lines:,} lines ({yuan(fen)}) have no category in the journal: rules that ask for one did not apply to them")
    notes += _unheard(programmes, past.events)
    if past.refused:
        notes.append(f"{past.refused:,} requests were refused then and are not asked again")
    if asks & {"tag", "tag_not", "birthday"}:
        notes.append("tags and birthdays of members are today's")
    if any(terms["stock"] for programme in programmes for terms in programme.coupons):
        notes.append("of coupons that there are only so many of, a code counted when it was used, not when it was made")
    tickets, fen = past.by_article
    if tickets:
        notes.append(f"{tickets:,} tickets had coupons for some articles, which the journal does not name: the {yuan(fen)} that their "
                     "coupons took off stayed as it was, and none of these coupons is used here")  # fmt: skip
    return notes


def _unheard(programmes: list[Programme], events: set[str]) -> list[str]:
    """Which events the packs wait for that never happened."""
    names = sorted(frozenset().union(*(programme.events for programme in programmes)) - events)
    return [f"events that nobody recorded did not happen here either: {', '.join(names)}"] if names else []


# ---------------------------------------------------------------- tickets of a data set
def _of_tickets(
    texts: dict[str, bytes], packs: list[str], against: str, name: str, limit: int | None, seed: int, spend_points: bool
) -> dict[str, Any]:  # fmt: skip
    from cardapi.cli.replay.rule import Rule
    from cardapi.cli.replay_command import source_named
    from cardapi.whatif.report import Side
    from cardapi.whatif.tickets import sell
    from cardapi.whatif.world import World

    source = source_named(name, seed, limit)
    rule = Rule(seed)
    texts = {**texts, against: texts.get(against) or read_pack(against)}
    programmes = {pack: _compiled(text) for pack, text in texts.items()}
    worlds = {pack: World(lambda account, at, programme=programme: programme) for pack, programme in programmes.items()}  # type: ignore[misc]
    count = source.totals(limit).tickets
    ended = 0
    with progress("tickets", count) as advance:
        for number in sell(worlds.values(), _tickets(source, rule, limit), rule.topup_fen, points=spend_points):
            ended = number
            advance(1)
    sides = {pack: Side(f"{programme.name} {programme.version}", programme, worlds[pack].tally, worlds[pack].accounts)
             for pack, programme in programmes.items()}  # fmt: skip
    accounts = sorted({account for world in worlds.values() for account in world.accounts})
    end = max((basket.at for basket in source.index(limit)), default=0)
    report = _report(sides[against], [sides[pack] for pack in packs], accounts, end, lambda account: f"household {account}")
    report["source"] = f"{source.title}: {ended:,} tickets"
    report["notes"] = [*source.caveats, rule.words(), "the data set's lines have no category here: rules that ask for one did not apply"]
    report["notes"] += _unheard(list(programmes.values()), set())
    if not spend_points:
        report["notes"].append("nobody pays with points (--spend-points)")
    return report


def _tickets(source: Source, rule: Any, limit: int | None) -> Iterator[Ticket]:
    from cardapi.cli.replay.rule import basket_key
    from cardapi.whatif.tickets import Ticket
    from cardcore.settlement import Line

    for basket in source.baskets(limit):
        lines = tuple(
            Line(line.amount_fen, line.quantity, "", line.sku, discount_fen=line.discount_fen, coupon_fen=line.coupon_fen)
            for line in basket.lines
        )
        cash = rule.pays_cash(basket_key(source.key, basket.name))
        yield Ticket(basket.name.at * 1_000_000, basket.name.household, str(basket.name.store), lines, cash)


# ---------------------------------------------------------------- report
def _side(side: Side, accounts: list[int], end: int) -> dict[str, Any]:
    from cardapi.whatif.report import side as told

    return told(side, accounts, end)


def _report(base: Side, packs: list[Side], accounts: list[int], end: int, number_of: Any) -> dict[str, Any]:
    from cardapi.whatif.report import compare

    return {
        "cards": len(accounts),
        "baseline": _side(base, accounts, end),
        "packs": [{**_side(pack, accounts, end), "holders": compare(base, pack, number_of)} for pack in packs],
    }


def _show(report: dict[str, Any]) -> None:
    sides = [report["baseline"], *report["packs"]]
    say(f"{report['source']}; {report['cards']:,} cards; compared with: {report['baseline']['name']}")
    columns = [side["name"] for side in sides]
    rows: list[list[str]] = [
        ["tickets", *(f"{side['totals']['tickets']:,}" for side in sides)],
        ["list price", *(yuan(side["totals"]["gross_fen"]) for side in sides)],
        ["paid", *(yuan(side["totals"]["net_fen"]) for side in sides)],
        ["topped up", *(yuan(side["totals"]["topup_fen"]) for side in sides)],
        ["cost: the pack's discounts", *(yuan(side["cost"]["discount_fen"]) for side in sides)],
        ["cost: bonus and rebates", *(yuan(side["cost"]["value_fen"]) for side in sides)],
        ["cost: points at their worth", *(yuan(side["cost"]["points_fen"]) for side in sides)],
        ["cost in all", *(yuan(side["cost"]["total_fen"]) for side in sides)],
        ["  share of what was paid", *(side["cost"]["share_of_sales"] for side in sides)],
        ["points given", *(f"{side['points']['given']:,}" for side in sides)],
        ["points used", *(f"{side['points']['used']:,}" for side in sides)],
        ["a point is worth (fen)", *(f"{side['points']['worth']} ({side['points']['worth_by']})" for side in sides)],
        ["owed at the end: money", *(yuan(side["liability"]["money_fen"]) for side in sides)],
        ["owed at the end: points", *(f"{side['liability']['points']:,}" for side in sides)],
        ["owed at the end: points' worth", *(yuan(side["liability"]["points_fen"]) for side in sides)],
        ["tiers at the end", *(", ".join(f"{name} {count:,}" for name, count in side["tiers"].items()) for side in sides)],
        ["tier moves", *(f"{sum(move['times'] for move in side['moves']):,}" for side in sides)],
    ]
    table("Cost and liability", ["", *columns], rows, right=columns)
    for pack in report["packs"]:
        holders = pack["holders"]
        say(f"{pack['name']}: {holders['gain']:,} holders gain, {holders['lose']:,} lose, {holders['same']:,} are as before;"
            f" in all {yuan(holders['sum_fen'])}")  # fmt: skip
        table("", ["holders", "cards"], [[band["band"], f"{band['cards']:,}"] for band in holders["bands"]], right=["cards"])
        for title, key in (("gain most", "top_gains"), ("lose most", "top_losses")):
            if holders[key]:
                shown = [[row["card"], yuan(row["difference_fen"]), f"{row['tickets']:,}"] for row in holders[key]]
                table(f"Who {title}", ["card", "difference", "tickets"], shown, right=["difference", "tickets"])
        if pack["not_replayed"]:
            missed = [[row["what"], f"{row['times']:,}", yuan(row["amount_fen"])] for row in pack["not_replayed"]]
            table(f"{pack['name']}: not as it was", ["what", "times", "amount"], missed, right=["times", "amount"])
    for text in report["notes"]:
        say(f"note: {text}")
