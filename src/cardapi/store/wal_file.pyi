"""The file of SQLite's write-ahead log, written once for each transaction. Nothing of it is called from Python: see `direct`."""
