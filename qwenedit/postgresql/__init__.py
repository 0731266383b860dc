"""Django's PostgreSQL engine, but for how its pool takes a restart of the server; see `base`."""
