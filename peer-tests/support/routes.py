"""Every route of the server, as the attacks need them."""

import re

from .server import MOUNT, REPOSITORY

JSON, SDP, FRAGMENT = "application/json", "application/sdp", "application/trickle-ice-sdpfrag"

#: Method, path, and the kind of body that is read, if one is.
ROUTES = (
    ("GET", "/", None),
    ("GET", "/page/config.json", None),
    ("GET", "/page/app.js", None),
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", None),
    ("GET", "/rooms", None),
    ("GET", "/rooms/lobby", None),
    ("DELETE", "/rooms/lobby", None),
    ("GET", "/rooms/lobby/timeline", None),
    ("POST", "/rooms/lobby/messages", JSON),
    ("POST", "/rooms/lobby/deliveries", JSON),
    ("POST", "/rooms/lobby/recording", JSON),
    ("GET", "/rooms/lobby/events", None),
    ("POST", "/tokens", JSON),
    ("GET", "/ws", None),
    ("POST", f"{MOUNT}/webrtc/offer", JSON),
    ("DELETE", f"{MOUNT}/webrtc/offer/nobody", None),
    ("GET", f"{MOUNT}/webrtc/config", None),
    ("POST", f"{MOUNT}/whip", SDP),
    ("DELETE", f"{MOUNT}/whip/nobody", None),
    ("PATCH", f"{MOUNT}/whip/nobody", FRAGMENT),
    ("GET", "/nothing/here", None),
)


def in_the_source() -> set[str]:
    """The paths that the source routes, with `{…}` where they have a field."""
    found = {"/ws"}
    for file, mount in (
        ("roomkit-server/src/routes/mod.rs", ""),
        ("roomkit-transport-webrtc/src/routes/mod.rs", MOUNT),
    ):
        text = (REPOSITORY / file).read_text()
        found |= {mount + path for path in re.findall(r'\.route\(\s*"([^"]+)"', text)}
    return found
