"""A UPnP router on loopback: a description and SOAP over plain HTTP, and an SSDP answer that leads there."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.net.port_mapping.gateways import WAY, Answer

_TYPE = "urn:schemas-upnp-org:service:WANIPConnection:1"
_OPEN, _CLOSE = "<s:Envelope><s:Body>", "</s:Body></s:Envelope>"


def _device(kind: str, inside: str, version: int) -> str:
    return f"<device><deviceType>urn:schemas-upnp-org:device:{kind}:{version}</deviceType>{inside}</device>"


def _fault(code: int) -> tuple[int, bytes]:
    fault = f"<UPnPError><errorCode>{code}</errorCode></UPnPError>"
    return 500, f"{_OPEN}<s:Fault><detail>{fault}</detail></s:Fault>{_CLOSE}".encode()


class Router:
    """What it answers, and what it was asked."""

    def __init__(self, host: str) -> None:
        self.external = "198.51.100.7"
        self.version = 1
        self.control = "/control"
        self.faults: list[int] = []
        """UPnP error codes of the next mappings asked for."""
        self.asked: list[dict[str, str]] = []
        """The arguments of every mapping asked for or taken back."""
        self.description: bytes | None = None
        """Instead of the right one."""
        self.hang = threading.Event()
        self.hang.set()
        router = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                router.hang.wait(30)
                self._say(200, router.description or router.describe().encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                self._say(*router.do(self.headers["SOAPAction"].strip('"'), body))

            def _say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None: ...

        self.server = ThreadingHTTPServer((host, 0), Handler)

    @property
    def url(self) -> str:
        return f"http://{self.server.server_address[0]}:{self.server.server_port}/root.xml"

    def describe(self) -> str:
        service = f"<serviceType>{_TYPE[:-1]}{self.version}</serviceType><controlURL>{self.control}</controlURL>"
        inside = f"<serviceList><service>{service}<SCPDURL>/s</SCPDURL></service></serviceList>"
        for kind in ("WANConnectionDevice", "WANDevice", "InternetGatewayDevice"):
            inside = _device(kind, inside, self.version)
            whole, inside = inside, f"<deviceList>{inside}</deviceList>"
        return f'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">{whole}</root>'

    def do(self, called: str, body: str) -> tuple[int, bytes]:
        answer = ""
        service, _, action = called.partition("#")
        if service != f"{_TYPE[:-1]}{self.version}":
            return _fault(401)
        if action == "GetExternalIPAddress":
            answer = f"<NewExternalIPAddress>{self.external}</NewExternalIPAddress>"
        elif action in ("AddPortMapping", "DeletePortMapping"):
            self.asked.append({"action": action} | dict(re.findall(r"<New(\w+)>([^<]*)</New", body)))
            if action == "AddPortMapping" and self.faults:
                return _fault(self.faults.pop(0))
        return 200, f"{_OPEN}<u:{action}Response>{answer}</u:{action}Response>{_CLOSE}".encode()


@contextmanager
def router(host: str = WAY.gateway) -> Iterator[Router]:
    """One that serves."""
    made = Router(host)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.hang.set()
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def found(url: str, device: str = "urn:schemas-upnp-org:device:InternetGatewayDevice:1") -> bytes:
    """An answer to a search."""
    return f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {device}\r\nLocation: {url}\r\nEXT:\r\n\r\n".encode()


def telling(*urls: str) -> Answer:
    """Answers every search with these."""
    return lambda data: [found(url) for url in urls]
