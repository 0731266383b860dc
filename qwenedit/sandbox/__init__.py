"""Offline stand-ins of the outside services: real HTTP servers, known only to the settings and the tests."""
