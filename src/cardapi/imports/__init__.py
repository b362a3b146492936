"""Moving in from another system (N7): a file of cards, people, balances and points, with a dry run, control totals that a second
person approves, and a cut-over that can be taken back while nothing was spent.

`rows` reads and checks a file, `steps` says which entries a row makes and what they add up to. Nothing here writes.
"""
