"""Compiled only: events and reviews. `commands.Event` and `commands.Review` have the words."""
