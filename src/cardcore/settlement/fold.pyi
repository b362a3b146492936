"""Compiled only: postings folded into an account."""
