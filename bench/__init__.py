"""Measurements and trials of strength, run by hand; of the torture a test runs twenty kills."""
