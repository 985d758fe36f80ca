"""Measures the speeds that docs/reference/speed.md promises: `make bench`."""
