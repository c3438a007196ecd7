"""Measurements: what a record costs, beside what others cost. Never run by the tests."""
