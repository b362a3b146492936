"""The speed of cardcore, measured beside what it is compared with. Run `python -m benchmarks --help`.

Nothing here is imported by the product. Each question is one *line* (`line_*.py`): some subjects that run in turn,
round by round, in the same minutes on the same disk, and the ratios asked of them.
"""
