"""`python -m cardapi.cli` is `cardcore`."""

from cardapi.cli import main

main()
