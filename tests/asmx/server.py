"""A real ASP.NET ASMX service of the operation, run by Mono behind nginx on loopback.

Both servers inherit a socket that already listens, nginx by the variable it uses for binary upgrades and Mono as its
standard input (the FastCGI convention). So the system picks the ports, nobody can take them in between, and a first
request simply waits until it is served.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVICE = Path(__file__).parent / "service"
COMMANDS = ("mcs", "fastcgi-mono-server4", "nginx")
PASSWORD = "correct horse"
TIMEOUT_S = 240.0
"""For one request to the fixture itself; the first one loads the service."""
ZONE = "Etc/GMT-5"
"""The server's time zone, five hours ahead of UTC at all times: a conversion shows, and loses nothing."""

WARM_UP = b"""<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>
<SetOutlookSyncRecord xmlns="http://schema.veetro.com"><Record><SourceID>\xc3\xa4</SourceID></Record></SetOutlookSyncRecord>
</e:Body></e:Envelope>"""

NGINX_CONF = """
daemon off; worker_processes 1; user root; pid {home}/nginx.pid; error_log {home}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {home}/body; fastcgi_temp_path {home}/fastcgi; proxy_temp_path {home}/proxy;
    uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
    client_max_body_size 32m; client_body_buffer_size 8m;
    keepalive_timeout 120s; keepalive_requests 10000000;
    server {{
        listen 127.0.0.1:{port};
        root {home}/site;
        include /etc/nginx/fastcgi.conf;
        location = /xml {{ rewrite ^ /OutlookSync.asmx break; fastcgi_pass 127.0.0.1:{mono_port}; }}
        location = /received.ashx {{ fastcgi_pass 127.0.0.1:{mono_port}; }}
    }}
}}
"""


@dataclass(frozen=True)
class Call:
    """One call that reached the method: its ``VeetroSession`` header, and the Record as the method saw it (or None).

    A string is exact to the UTF-16 unit, and None where it was null. A dateTime is ``{"ticks": n, "kind": k}``: 100 ns
    since year 1, counted in UTC where the kind is Utc or Local (sent with ``Z`` or with an offset), in the text's own
    time where it is Unspecified.
    """

    session: str | None
    record: dict[str, Any] | None


@dataclass(frozen=True)
class AsmxService:
    """The running service: POST to *url*.

    A SourceID may ask for a special answer: ``!throw`` (a Server fault, nothing saved), ``!save-then-throw`` (saved,
    and a Server fault all the same; ErrorMsg is the text of both), ``!custom-fault`` (saved, then its own fault code),
    ``!control-character`` (saved; the answer's ErrorMsg holds characters that XML forbids). A login with `PASSWORD`
    succeeds, whatever the name, and sessions are not asked for.
    """

    host: str
    port: int

    @property
    def url(self) -> str:
        """Where the operations are."""
        return f"http://{self.host}:{self.port}/xml"

    def calls(self) -> list[Call]:
        """Every call since the last reset, in order of arrival."""
        return [Call(**json.loads(line)) for line in self._ask("GET").splitlines()]

    def received(self) -> list[dict[str, Any]]:
        """The records of all calls that had one."""
        return [call.record for call in self.calls() if call.record is not None]

    def reset(self) -> None:
        """Forget what was received."""
        self._ask("DELETE")

    def warm_up(self) -> None:
        """Make the first calls one by one: Mono's first use of an encoding or a serializer is not safe for threads."""
        for content_type in ("text/xml; charset=utf-8", "text/xml", "text/xml; charset=utf-8"):
            self._ask("POST", "/xml", WARM_UP, {"Content-Type": content_type})
        self.reset()

    def _ask(
        self,
        method: str,
        path: str = "/received.ashx",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        with contextlib.closing(http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"the ASMX service does not answer: {answer.status} {text!r}")
        return text


def missing() -> list[str]:
    """The commands that are not installed; ``apt-packages.txt`` beside this file names the packages that hold them."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    return [command for command in COMMANDS if shutil.which(command, path=path) is None]


@contextlib.contextmanager
def running(home: Path) -> Iterator[AsmxService]:
    """Compile the service into *home* (an empty directory), serve it, and end both servers at the end."""
    _build(home / "site")
    with contextlib.ExitStack() as stack:
        with _listener() as front, _listener() as back:
            port, mono_port = front.getsockname()[1], back.getsockname()[1]
            (home / "nginx.conf").write_text(NGINX_CONF.format(home=home, port=port, mono_port=mono_port))
            stack.enter_context(_mono(home, back))
            stack.enter_context(_nginx(home, front))
        service = AsmxService("127.0.0.1", port)
        try:
            service.warm_up()
        except (OSError, RuntimeError) as error:
            logs = "".join(log.read_text(errors="replace")[-4000:] for log in sorted(home.glob("*.log")))
            raise RuntimeError(f"the ASMX service did not start; its logs:\n{logs}") from error
        yield service


def _build(site: Path) -> None:
    (site / "bin").mkdir(parents=True)
    for name in ("OutlookSync.asmx", "Web.config"):
        shutil.copy(SERVICE / name, site)
    references = ["-r:System.Web", "-r:System.Web.Services", "-r:System.Xml"]
    sources = sorted(str(source) for source in SERVICE.glob("*.cs"))
    subprocess.run(
        ["mcs", "-nologo", "-target:library", f"-out:{site}/bin/OutlookSync.dll", *references, *sources], check=True
    )


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


def _mono(home: Path, listener: socket.socket) -> contextlib.AbstractContextManager[None]:
    command = [
        "fastcgi-mono-server4",
        "--socket=pipe",
        f"--applications=/:{home}/site",
        "--maxconns=1024",
        "--maxreqs=1024",
    ]
    environment = os.environ | {"TZ": ZONE, "MONO_THREADS_PER_CPU": "100"}
    return _child(command, environment, home / "mono.log", stdin=listener.fileno())


def _nginx(home: Path, listener: socket.socket) -> contextlib.AbstractContextManager[None]:
    listener.setblocking(False)  # as nginx's own are; Mono's must block
    search = {"PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])}
    command = ["nginx", "-e", f"{home}/nginx.log", "-c", f"{home}/nginx.conf"]
    environment = os.environ | search | {"NGINX": f"{listener.fileno()};"}
    return _child(command, environment, home / "nginx-output.log", pass_fds=[listener.fileno()])


@contextlib.contextmanager
def _child(
    command: list[str],
    environment: dict[str, str],
    log: Path,
    *,
    stdin: int = subprocess.DEVNULL,
    pass_fds: list[int] | None = None,
) -> Iterator[None]:
    """Run *command* for as long as the context lasts."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, env=environment, stdin=stdin, stdout=output, stderr=output, pass_fds=pass_fds or []
        )
    with child:
        try:
            yield
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
