"""Who may look: a secret in the address, and no page of a stranger's."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

Served = TypeVar("Served")
BYTES = 24  # of a token, from the system's own source of random numbers


def new_token() -> str:
    return secrets.token_urlsafe(BYTES)


def found(token: str, by_token: Mapping[str, Served]) -> Served | None:
    """What stands under a token. Every one is compared, in a time that tells nothing of how far it is right."""
    given = token.encode("utf-8", "replace")
    matching = [shown for own, shown in by_token.items() if secrets.compare_digest(own.encode(), given)]
    return matching[0] if matching else None


def known_host(host: str, names: Collection[str]) -> bool:
    """Whether a request's Host is no name that a stranger could have pointed here: an address, `localhost`, or one of the names.

    Source: DNS rebinding works by a name of the attacker's that first leads to his page and then to this machine; the browser then sends
    his name as Host.
    """
    name = (urlsplit(f"//{host}").hostname or "") if "@" not in host else ""
    if name == "localhost" or name in {one.lower() for one in names}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def own_origin(origin: str | None, host: str) -> bool:
    """Whether a socket is opened by a page of this server, or by no page at all."""
    if origin is None:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def headers(page: str, *, framed: bool) -> dict[str, str]:
    """Of the page: it runs its own script and style and speaks to its own origin, and nothing else. framed: whether other pages may show
    it in a frame, as a notebook does."""
    script, style = (_digest(page, tag) for tag in ("script", "style"))
    policy = [
        "default-src 'none'",
        f"script-src '{script}'",
        f"style-src '{style}'",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        *([] if framed else ["frame-ancestors 'none'"]),
    ]
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Referrer-Policy": "no-referrer",  # or the token would be told
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def _digest(page: str, tag: str) -> str:
    inside = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    assert inside is not None, tag
    return f"sha256-{b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()}"
