"""Habitat against gene: what is seen, what chance says as well, and the table a user gets."""
