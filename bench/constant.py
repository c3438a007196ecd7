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

_CONFIGURATION = """
daemon off; worker_processes 1; worker_cpu_affinity 10; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 8m;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ default_type "text/xml; charset=utf-8"; return 200 '{answer}'; }}
  }}
}}
"""


@contextlib.contextmanager
def constant_server() -> Iterator[str]:
    """The URL of the server while it runs, on the second core where there are two."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        (Path(folder) / "nginx.conf").write_text(_CONFIGURATION.format(port=port, answer=ANSWER))
        process = subprocess.Popen([NGINX, "-p", folder, "-c", "nginx.conf"])
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}/xml"
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError("nginx did not come up")
