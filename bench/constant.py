"""An nginx that gives every request the same valid answer: as little server as there can be."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import trustme

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"

ANSWER = (
    '<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soap:Body>'
    '<SetOutlookSyncRecordResponse xmlns="http://schema.veetro.com"><SetOutlookSyncRecordResult>'
    "<ImportSyncRecordID>981</ImportSyncRecordID><VeetroID>5501</VeetroID><EntityID_Owner>12</EntityID_Owner>"
    "<VeetroType>Contact</VeetroType><VeetroIDStr>C-5501</VeetroIDStr><Source>Outlook</Source><SourceID>S-1</SourceID>"
    "<SyncIdentifier>desk-7</SyncIdentifier><SourceType>ContactItem</SourceType><SourceName>Contacts</SourceName>"
    "<ApplyAction>1</ApplyAction><ApplyValues>Email;Phone;Address</ApplyValues>"
    "<RemoteTimeStamp>2024-05-31T09:30:00Z</RemoteTimeStamp><Delete>false</Delete><CurrentStatusId>2</CurrentStatusId>"
    "<Retried>0</Retried><LocalTimeStamp>2024-05-31T09:30:01Z</LocalTimeStamp><ErrorMsg />"
    "<DateLastModifiedRemoteUtc>2024-05-31T09:29:00Z</DateLastModifiedRemoteUtc>"
    "<DateLastModifiedLocalUtc>2024-05-31T09:28:00Z</DateLastModifiedLocalUtc><CurrentStatus>Completed</CurrentStatus>"
    "</SetOutlookSyncRecordResult></SetOutlookSyncRecordResponse></soap:Body></soap:Envelope>"
)
RECORD = (
    b'{"ImportSyncRecordID":981,"VeetroID":5501,"EntityID_Owner":12,"VeetroType":"Contact","VeetroIDStr":"C-5501",'
    b'"Source":"Outlook","SourceID":"S-1","SyncIdentifier":"desk-7","SourceType":"ContactItem","SourceName":"Contacts",'
    b'"ApplyAction":1,"ApplyValues":"Email;Phone;Address","RemoteTimeStamp":"2024-05-31T09:30:00Z","Delete":false,'
    b'"CurrentStatusId":2,"Retried":0,"LocalTimeStamp":"2024-05-31T09:30:01Z","ErrorMsg":"",'
    b'"DateLastModifiedRemoteUtc":"2024-05-31T09:29:00Z","DateLastModifiedLocalUtc":"2024-05-31T09:28:00Z",'
    b'"CurrentStatus":"Completed"}\n'
)

_SOAP12 = ANSWER.replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")
_CONFIGURATION = """
daemon off; worker_processes 1; worker_cpu_affinity 10; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 8m;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  default_type "text/xml; charset=utf-8";
  server {{ listen 127.0.0.1:{plain}; location / {{ return 200 '{answer}'; }} }}
  server {{
    listen 127.0.0.1:{soap12};
    location / {{ default_type "application/soap+xml; charset=utf-8"; return 200 '{soap12_answer}'; }}
  }}
  server {{ listen 127.0.0.1:{gzip}; gzip on; gzip_types *; location / {{ return 200 '{answer}'; }} }}
  server {{ listen 127.0.0.1:{chunked}; ssi on; ssi_types *; location / {{ return 200 '{answer}'; }} }}
  server {{
    listen 127.0.0.1:{tls} ssl; ssl_certificate server.pem; ssl_certificate_key server.pem;
    location / {{ return 200 '{answer}'; }}
  }}
}}
"""


class Constant(NamedTuple):
    """Where the server is: a URL for each way to answer, and the file of the authority that its certificate is from.

    *plain* answers with a length, *soap12* in that version, *gzip* compressed and in chunks as IIS does, *chunked* in
    chunks, which nginx makes of an answer that it has looked through for server side includes, and *tls* over TLS.
    """

    plain: str
    soap12: str
    gzip: str
    chunked: str
    tls: str
    ca: Path


@contextlib.contextmanager
def constant_server() -> Iterator[str]:
    """The URL of the plain answer while the server runs, on the second core."""
    with constant_servers() as servers:
        yield servers.plain


@contextlib.contextmanager
def constant_servers() -> Iterator[Constant]:
    """All ways to answer, while the server runs, on the second core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ports = dict(zip(("plain", "soap12", "gzip", "chunked", "tls"), _free_ports(5), strict=True))
        _certify(folder)
        configuration = _CONFIGURATION.format(answer=ANSWER, soap12_answer=_SOAP12, **ports)
        (folder / "nginx.conf").write_text(configuration)
        process = subprocess.Popen([NGINX, "-p", name, "-c", "nginx.conf"])
        try:
            for port in ports.values():
                _wait_for(port)
            urls = {
                face: f"{'https' if face == 'tls' else 'http'}://127.0.0.1:{port}/xml" for face, port in ports.items()
            }
            yield Constant(**urls, ca=folder / "ca.pem")
        finally:
            process.terminate()
            process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        ports = []
        for _ in range(count):
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


def _certify(folder: Path) -> None:
    """Write ``server.pem``, key and certificate of 127.0.0.1, and ``ca.pem``."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError("nginx did not come up")
