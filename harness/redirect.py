"""Where a redirect leads, told as the path that an option would have to name."""

import httpx


def path_of(url: str, location: str, prefix: str) -> str | None:
    """Return the path at which a redirect leads, below the path of the target's address.

    Args:
        url: that was asked.
        location: that the answer gives.
        prefix: path of the target's address, without a slash at its end.

    Returns:
        None where it leads to another server, to another scheme, or out of the address's path.
    """
    try:
        asked, led = httpx.URL(url), httpx.URL(url).join(location)
    except httpx.InvalidURL:
        return None
    path = led.raw_path.decode("ascii")
    elsewhere = (asked.scheme, asked.host, asked.port) != (led.scheme, led.host, led.port)
    if elsewhere or not location or not path.startswith(f"{prefix}/"):
        return None
    return path.removeprefix(prefix)
