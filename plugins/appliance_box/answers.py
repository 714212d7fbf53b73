"""What the operations answer, as JSON Schemas: the document shows them, and the tests hold the answers to them."""

from __future__ import annotations

from typing import Final

from appliance.api.shapes import COUNT, FLAG, INTEGER, NUMBER, TEXT, TEXTS, list_of, maybe, obj, one_of, said

_EPOCH: Final = said(NUMBER, "epoch seconds")

# -- the box ------------------------------------------------------------------------------------------------------------

_IMAGE: Final = obj({"id": TEXT, "version": TEXT, "built": INTEGER, "commit": TEXT, "pi": FLAG})
_LINK: Final = obj({"name": TEXT, "up": FLAG, "mac": TEXT, "physical": FLAG, "addresses": TEXTS})
_CARD: Final = obj({
    "device": TEXT, "name": TEXT, "made": TEXT, "life": TEXT, "written_bytes": said(maybe(COUNT), "since the start"),
})  # fmt: skip
_INTERFACE: Final = obj({
    "name": TEXT, "method": one_of("dhcp", "static", "off"), "addresses": TEXTS, "gateways": TEXTS, "dns": TEXTS, "search": TEXTS,
})  # fmt: skip
_WIFI: Final = obj({
    "ssid": TEXT, "ssid_hex": TEXT, "password": said(TEXT, "always empty"), "has_password": FLAG, "hidden": FLAG, "country": TEXT,
})  # fmt: skip
_SETTINGS: Final = obj({
    "host_name": TEXT, "time_zone": TEXT, "ssh": obj({"enabled": FLAG, "keys": TEXTS}), "wifi": maybe(_WIFI),
    "interface": list_of(_INTERFACE),
})  # fmt: skip
_LINES: Final = list_of(obj({"where": TEXT, "text": TEXT}))
BOX: Final = obj({
    "model": TEXT, "host_name": TEXT, "image": maybe(_IMAGE), "slot": said(TEXT, "a, b, or empty"), "up_s": COUNT,
    "interfaces": list_of(_LINK), "card": maybe(_CARD), "settings": maybe(_SETTINGS), "wireless": TEXTS,
    "pending": maybe(obj({"id": TEXT, "left_s": NUMBER, "settings": _SETTINGS})),
    "not_offered": said(TEXT, "why settings of the box cannot be changed here, or empty"),
    "preseed": maybe(obj({"used": TEXTS, "problems": _LINES, "notes": _LINES})),
})  # fmt: skip
CHANGED: Final = obj({
    "trouble": said(TEXTS, "what programs of the system did not take"),
    "pending": said(maybe(obj({"id": TEXT, "left_s": NUMBER})), "waits to be confirmed"),
})  # fmt: skip
CONFIRMED: Final = obj({"confirmed": TEXT})
GONE_BACK: Final = obj({"gone_back": TEXT, "trouble": TEXTS})
DISMISSED: Final = obj({"dismissed": FLAG})
ASKED: Final = obj({"asked": said(TEXT, "of the service manager")})
RESET: Final = obj({"reset": FLAG, "asked": TEXT})

# -- backups ------------------------------------------------------------------------------------------------------------

_PLUGIN: Final = obj({"name": TEXT, "version": TEXT, "source": TEXT})
PREPARED: Final = obj({
    "version": TEXT, "created": _EPOCH, "host": TEXT, "machine": TEXT, "image": TEXT, "bytes": COUNT, "files": COUNT,
    "plugins": list_of(_PLUGIN), "notes": said(TEXTS, "what will not be as it was"), "config": said(TEXTS, "files of the configuration"),
    "box": said(FLAG, "it holds settings of the box"),
})  # fmt: skip
BACKUP: Final = obj({
    "last": said(maybe(obj({"at": _EPOCH, "sealed": FLAG})), "the last one that was made here"),
    "database_bytes": COUNT, "prepared": maybe(PREPARED), "way_back": said(FLAG, "the state from before the last restore is there"),
    "restored": maybe(obj({"phase": one_of("ready", "filling", "trial", "done", "returned"), "about": TEXT})),
})  # fmt: skip
APPLIED: Final = obj({"takes_effect": TEXT, "notes": TEXTS})
DISCARDED: Final = obj({"prepared": {"type": "null"}})
RETURNING: Final = obj({"takes_effect": TEXT})
