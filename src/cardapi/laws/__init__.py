"""Law packs (W1-W8): what the law of a country asks of prepaid cards, as dated data (`pack`), tested where money is posted (`judge`).

Off until a shop chooses one. A pack states figures; it gives no advice.
"""
