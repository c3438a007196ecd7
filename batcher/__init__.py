"""Send millions of NDJSON records, once each, through a SOAP service that takes them one at a time."""

__version__ = "0.1.0"
