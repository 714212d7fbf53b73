"""Whoever changes an address hears beforehand when the service manager's sockets have another one, and what to do."""

import socket

from appliance.core.config import read_text
from appliance.core.config_check import validate
from appliance.dataplane.interface import Endpoint
from appliance.host import loader
from appliance.host.handed_notes import handed_notes

MODELS = {p.id: p.info.config for p in loader.discover().good() if p.info is not None}
OURS = Endpoint("0.0.0.0", 53)


def told(listen, keys=("plugins.dns.listen",)):
    config = validate([read_text(f"[plugins.dns]\nlisten = {listen}\n", "test")], MODELS)
    return handed_notes(
        config,
        keys,
        descriptors=lambda endpoint, kind: [3] if endpoint == OURS else [],
        advice=lambda endpoint, kind: (
            f"systemctl edit timeball-dns.socket {kind.name}" if endpoint.port < 1024 else ""
        ),
    )


def test_an_address_that_the_manager_did_not_open_is_told_with_the_command_for_each_protocol():
    notes = told('["192.0.2.53:53"]')
    assert len(notes) == 2
    for note, kind in zip(notes, (socket.SOCK_DGRAM, socket.SOCK_STREAM), strict=True):
        assert note.startswith("192.0.2.53:53 will not be served until its socket unit agrees")
        assert f"systemctl edit timeball-dns.socket {kind.name}" in note


def test_what_was_handed_over_and_what_can_be_bound_is_not_told():
    assert told('["0.0.0.0:53", "0.0.0.0:5353", "127.0.0.1:0"]') == ()


def test_other_keys_say_nothing_about_sockets():
    assert told('["192.0.2.53:53"]', ("plugins.dns.ttl", "appliance.user", "plugins.web.enabled")) == ()


def test_where_nothing_was_handed_over_nothing_is_told():
    config = validate([read_text('[plugins.web]\nlisten = "192.0.2.1:80"\n', "test")], MODELS)
    assert handed_notes(config, ["plugins.web.listen", "plugins.web.listen_tls"]) == ()
