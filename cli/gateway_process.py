"""The model gateway's process: its settings, the token look-up in the database, its signals."""
