"""Which addresses sandboxes may be let out to: public ones, and no others, whoever asks."""

from ipaddress import ip_network
from typing import Final

from cattery.errors import BadRequestError

NOT_PUBLIC: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
"""Private, shared, local and multicast addresses: clusters, neighbours, clouds' metadata."""
NOT_PUBLIC_V6: Final = (
    "::/96",  # unspecified, loopback and the old form of IPv4 addresses
    "64:ff9b::/96",  # IPv4 addresses behind a translator
    "2002::/16",  # IPv4 addresses in a tunnel
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)
MAPPED: Final = "::ffff:0:0/96"
"""IPv4 addresses written as IPv6. No packet has one, and a network policy may not name it."""


def check_allowed(cidr: str) -> str:
    """Check an address range that sandboxes shall reach, and return it in its plain form.

    Raises:
        BadRequestError: it is none, or holds addresses that are not public.
    """
    try:
        wanted = ip_network(cidr.strip())
    except ValueError as error:
        raise BadRequestError(
            f"{cidr!r} is no range of addresses, such as 203.0.113.0/24: {error}."
        ) from error
    for denied in map(ip_network, NOT_PUBLIC if wanted.version == 4 else (*NOT_PUBLIC_V6, MAPPED)):
        if wanted.overlaps(denied):
            raise BadRequestError(
                f"Sandboxes cannot be let out to {wanted}: it holds addresses of {denied}, which "
                "are private, local or multicast, and so the cluster's own or its neighbours'. "
                "Leave them out."
            )
    return str(wanted)
