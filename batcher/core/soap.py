"""The two versions of SOAP: what differs between them on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

XSI = "http://www.w3.org/2001/XMLSchema-instance"
XSD = "http://www.w3.org/2001/XMLSchema"
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'


class Soap(NamedTuple):
    """One version.

    Attributes:
        version: ``1.1`` or ``1.2``.
        namespace: of Envelope, Body and Fault.
        prefix: that the vendor's samples use for it in requests.
        content_type: of requests, to the letter: without the charset ``text/xml`` is read as ASCII, and a blank
            before the semicolon is refused with 415.
    """

    version: str
    namespace: str
    prefix: str
    content_type: str

    def opening(self) -> str:
        """All that stands before the operation's own element in a request."""
        return (
            f'{DECLARATION}<{self.prefix}:Envelope xmlns:xsi="{XSI}" xmlns:xsd="{XSD}" '
            f'xmlns:{self.prefix}="{self.namespace}"><{self.prefix}:Body>'
        )

    def closing(self) -> str:
        """All that stands behind it."""
        return f"</{self.prefix}:Body></{self.prefix}:Envelope>"

    def headers(self, action: str) -> Mapping[str, str]:
        """The HTTP headers that route a request to the operation with this SOAP *action*.

        In 1.2 the body alone routes; ``action=`` on the content type is optional and left out.
        """
        if self.version == "1.1":
            return {"Content-Type": self.content_type, "SOAPAction": f'"{action}"'}
        return {"Content-Type": self.content_type}


SOAP_11 = Soap("1.1", "http://schemas.xmlsoap.org/soap/envelope/", "soap", "text/xml; charset=utf-8")
SOAP_12 = Soap("1.2", "http://www.w3.org/2003/05/soap-envelope", "soap12", "application/soap+xml; charset=utf-8")
VERSIONS = {soap.version: soap for soap in (SOAP_11, SOAP_12)}
NAMESPACES = frozenset(soap.namespace for soap in VERSIONS.values())
