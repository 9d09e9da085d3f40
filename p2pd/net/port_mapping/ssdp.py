"""Looking for a UPnP router (SSDP, UPnP Device Architecture 1.1, section 1.3): the search, and reading its answers.

Anybody on the local network may answer.  Rule: only a description at the gateway's own address is read, by plain HTTP.
"""

from urllib.parse import urlsplit

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.types import Endpoint

SEARCH_AT = Endpoint("239.255.255.250", 1900)
_DEVICE = "urn:schemas-upnp-org:device:InternetGatewayDevice:"
_STATUS = ("HTTP/1.1 200", "HTTP/1.0 200")


def searches() -> tuple[bytes, ...]:
    """For routers of both versions; one of version 2 should answer both, and some do not."""
    head = f'M-SEARCH * HTTP/1.1\r\nHOST: {SEARCH_AT}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {_DEVICE}'
    return tuple(f"{head}{version}\r\n\r\n".encode() for version in (1, 2))


def description_url(data: bytes, gateway: str) -> str:
    """Where the gateway describes itself, of one answer; PeerError where it is no answer of a gateway's."""
    if len(data) > limits.UDP_READ_BYTES:
        raise PeerError("upnp_size")
    try:
        status, *lines = data.decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise PeerError("upnp_form") from None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if not status.startswith(_STATUS) or not headers.get("st", "").startswith(_DEVICE):
        raise PeerError("upnp_form", "no answer to a search for a gateway")
    return checked_url(headers.get("location", ""), gateway)


def checked_url(url: str, gateway: str) -> str:
    """The URL, where it leads to the gateway and nowhere else."""
    if len(url) > limits.UPNP_URL_BYTES or not url.isascii() or not url.isprintable() or " " in url:
        raise PeerError("upnp_url", "no URL")
    try:
        parts = urlsplit(url)
        host, port, user = parts.hostname, parts.port, parts.username
    except ValueError:
        raise PeerError("upnp_url", "no URL") from None
    if parts.scheme != "http" or host != gateway or port == 0 or user is not None:
        raise PeerError("upnp_url", "it leads elsewhere")
    return url
