"""The product with gathering taken out: a database call for each request, over as many connections as settings.toml says lanes.

`python -m benchmarks.peers.one_call serve --data DIR ...` takes the words that `cardcore` takes.
"""

from __future__ import annotations

from cardapi.cli import main
from cardapi.desk import writer

if __name__ == "__main__":
    writer.BATCH_MAX = 1
    main()
