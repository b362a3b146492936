"""Reports: folds of the journal over the store port. They change nothing and keep nothing: the journal is the authority (M3)."""
