"""Records in SQL: facts and custody log, on SQLite (embedded) or PostgreSQL (by URL)."""
