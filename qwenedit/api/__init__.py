"""The REST API, `/api/v1/`: keys, errors, pages, schema, and the views over the apps' services."""
