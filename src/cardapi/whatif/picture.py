"""The what-if report as one SVG picture: what each side costs, what it leaves owed, and how many holders gain and lose."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

WIDTH = 960
LEFT = 220
ROOM = WIDTH - LEFT - 130
BAR = 22
GAP = 10
COLOURS = {"discount_fen": "#3b6ea5", "value_fen": "#e0a030", "points_fen": "#5a9e6f", "money_fen": "#7a6ca8", "cards": "#4d7f8f"}
NAMES = {
    "discount_fen": "discounts", "value_fen": "bonus and rebates", "points_fen": "points at their worth", "money_fen": "money on cards",
}  # fmt: skip


def picture(report: dict[str, Any]) -> str:
    """One SVG document, the same for the same report."""
    canvas = _Canvas()
    sides = [report["baseline"], *report["packs"]]
    canvas.heading("What it costs")
    canvas.bars([(side["name"], [(key, side["cost"][key]) for key in ("discount_fen", "value_fen", "points_fen")]) for side in sides])
    canvas.heading("What is owed at the end")
    canvas.bars([(side["name"], [(key, side["liability"][key]) for key in ("money_fen", "points_fen")]) for side in sides])
    for pack in report["packs"]:
        canvas.heading(f"Holders: {pack['name']} in place of {report['baseline']['name']}")
        canvas.bars([(band["band"], [("cards", band["cards"])]) for band in pack["holders"]["bands"]])
    canvas.heading("Tiers at the end")
    for side in sides:
        canvas.bars([(f"{side['name']}: {tier}", [("cards", cards)]) for tier, cards in side["tiers"].items()])
    return canvas.document()


class _Canvas:
    """Rows from top to bottom."""

    def __init__(self) -> None:
        self._y = 20
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        self._y += 26
        self._parts.append(f'<text x="20" y="{self._y}" class="h">{escape(text)}</text>')
        self._y += 14

    def bars(self, rows: list[tuple[str, list[tuple[str, int]]]]) -> None:
        """A horizontal bar for each row, stacked from its parts; negative parts are told by their figure only."""
        most = max((sum(max(value, 0) for _, value in parts) for _, parts in rows), default=0) or 1
        seen: dict[str, str] = {}
        for name, parts in rows:
            x = LEFT
            self._parts.append(f'<text x="{LEFT - 8}" y="{self._y + 16}" text-anchor="end">{escape(name)}</text>')
            for key, value in parts:
                long = max(value, 0) * ROOM // most
                self._parts.append(f'<rect x="{x}" y="{self._y}" width="{long}" height="{BAR}" fill="{COLOURS[key]}"/>')
                x += long
                if key in NAMES:
                    seen[key] = NAMES[key]
            total = sum(value for _, value in parts)
            shown = f"{total:,}" if parts[0][0] == "cards" else f"{'-' if total < 0 else ''}¥{abs(total) // 100:,}"
            self._parts.append(f'<text x="{x + 8}" y="{self._y + 16}">{shown}</text>')
            self._y += BAR + GAP
        x = LEFT
        for key, name in seen.items():
            self._parts.append(f'<rect x="{x}" y="{self._y}" width="12" height="12" fill="{COLOURS[key]}"/>')
            self._parts.append(f'<text x="{x + 18}" y="{self._y + 11}" class="s">{name}</text>')
            x += 180
        self._y += 16 if seen else 0

    def document(self) -> str:
        height = self._y + 20
        style = "text{font:13px sans-serif;fill:#222}.h{font-weight:bold;font-size:15px}.s{font-size:11px}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">'
            f'<style>{style}</style><rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(self._parts)}</svg>\n'
        )
