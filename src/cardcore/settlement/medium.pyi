"""Compiled only: value that crosses to and from the card's own memory."""
