"""Measures of the house itself: each check reads a tree of files and returns its complaints, one sentence each."""
