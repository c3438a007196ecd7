"""A ledger in one file, written with the standard library's SQLite."""
