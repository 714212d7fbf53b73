"""Each format that may wait for the box: what is taken, what is told, and that nothing hostile gets further than a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance_box.preseed import cloud, imager, own
from appliance_box.preseed.taking import TAKEN, without_secrets

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada@laptop"

#: As Imager's writer puts it.
IMAGER = f"""config_version = "1.0"

[system]
hostname = "Harbour-1"

[user]
name = "ada"
password = "$y$j9T$abc$def"
password_encrypted = true
groups = ["sudo"]

[ssh]
enabled = true
password_authentication = false
authorized_keys = [
  "{KEY}",
]

[wlan]
ssid = "Harbour"
password = "{"ab" * 32}"
password_encrypted = true
hidden = false
country = "DE"

[locale]
keymap = "de"
timezone = "Europe/Berlin"

[interfaces]
i2c = true
"""


def test_imagers_own_file_is_understood_and_what_is_not_used_is_told() -> None:
    found = imager.read(IMAGER.encode())
    assert found.problems == []
    assert found.parts["host_name"] == "harbour-1"
    assert found.parts["time_zone"] == "Europe/Berlin"
    assert found.parts["ssh"].keys == (KEY,)
    assert found.parts["wifi"].ssid == "Harbour"
    assert found.parts["wifi"].key_is_raw
    assert "owner" not in found.people, "a hash of a shell's kind is no password of the pages"
    notes = " ".join(found.notes)
    for word in ("user.password", "setup code", "user.groups", "locale.keymap", "interfaces.i2c"):
        assert word in notes


def test_a_password_in_the_clear_makes_the_owner() -> None:
    found = imager.read(b'config_version = "1.1"\n[user]\nname = "ada"\npassword = "a good long one"\n')
    assert found.people == {"owner": {"name": "ada", "password": "a good long one"}}


def test_a_fixed_address_of_imagers_format_becomes_an_interface() -> None:
    found = imager.read(
        b'config_version = "1.1"\n[ethernet]\nmethod = "static"\naddress = "192.0.2.50/24"\ngateway = "192.0.2.1"\n'
        b'dns = ["192.0.2.1", "192.0.2.2"]\n'
    )
    (interface,) = found.parts["interface"]
    assert (interface.name, interface.method, interface.gateways) == ("e*", "static", ("192.0.2.1",))


def test_the_older_file_of_imager_is_read_alike() -> None:
    assert imager.read(b'config_version = 1\n[system]\nhostname = "pi"\n').parts == {"host_name": "pi"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('config_version = "2.0"', "config_version"),
        ("", "config_version"),
        ("config_version = 1\n[system]\nhostnam = 'x'", 'did you mean "hostname"?'),
        ("config_version = 1\n[wlam]\nssid = 'x'", 'did you mean "wlan"?'),
        ("config_version = 1\n[system]\nhostname = 'a b'", "system.hostname"),
        ("config_version = 1\n[ssh]\nenabled = true", "nobody logs in"),
        ("config_version = 1\n[ssh]\nenabled = 'yes'\nauthorized_keys = ['" + KEY + "']", "ssh.enabled"),
        ("config_version = 1\n[wlan]\nssid = 'x'\npassword = 'short'", "8 to 63"),
        (
            "config_version = 1\n[wlan]\nssid = 'x'\npassword = 'long enough'\npassword_encrypted = true",
            "64 hex",
        ),
        ("config_version = 1\nsystem = 3", "this is a table"),
        ("config_version = 1\n[locale]\ntimezone = '../../etc/passwd'", "time zone"),
        ("config_version = = 1", "line 1"),
    ],
)
def test_what_is_wrong_in_imagers_file_is_told_with_its_key(text, problem) -> None:
    found = imager.read(text.encode())
    assert any(problem in told for told in found.problems), found.problems


USER_DATA = f"""#cloud-config
hostname: harbour-2
timezone: Europe/Berlin
manage_resolv_conf: false
users:
  - name: ada
    plain_text_passwd: a good long one
    ssh_authorized_keys:
      - {KEY}
runcmd:
  - [ systemctl, enable, --now, ssh ]
timeball:
  pool:
    name: pool.example.org
    roles: [time, dns]
"""

NETWORK = """network:
  version: 2
  ethernets:
    eth0:
      addresses: [192.0.2.9/24, "2001:db8::9/64"]
      routes:
        - to: default
          via: 192.0.2.1
      nameservers:
        addresses: [192.0.2.1]
        search: [example.org]
      optional: true
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: "DE"
      access-points:
        "Har\\x62our":
          password: "correct horse"
"""


def test_clouds_user_data_is_understood_and_runs_nothing() -> None:
    found = cloud.read_user_data(USER_DATA.encode())
    assert found.problems == []
    assert found.parts["host_name"] == "harbour-2"
    assert found.parts["ssh"].enabled
    assert found.people["owner"] == {"name": "ada", "password": "a good long one"}
    assert found.people["pool"]["roles"] == ["time", "dns"]
    assert any(note.startswith("runcmd") for note in found.notes)


def test_clouds_network_config_is_understood() -> None:
    found = cloud.read_network_config(NETWORK.encode())
    assert found.problems == []
    wired, wireless = found.parts["interface"]
    assert wired.addresses == ("192.0.2.9/24", "2001:db8::9/64")
    assert wired.gateways == ("192.0.2.1",)
    assert wired.search == ("example.org",)
    assert wireless.method == "dhcp"
    assert (found.parts["wifi"].ssid, found.parts["wifi"].password) == ("Harbour", "correct horse")


BOMB = "#cloud-config\na: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#!/bin/sh\nrm -rf /\n", "scripts are not run"),
        (BOMB, "look at line"),
        ("#cloud-config\n" + "[" * 20_000, "no YAML"),
        ("#cloud-config\nx: !!python/object/apply:os.system ['true']\n", "look at line"),
        ("#cloud-config\n- a\n- b\n", "keys and values"),
        ("#cloud-config\nhostname: -a-\n", "hostname"),
        ("#cloud-config\nssh_pwauth: true\n", "ssh_pwauth"),
        ("#cloud-config\ntimeball: {wify: {ssid: x}}\n", 'did you mean "wifi"?'),
        ("#cloud-config\ntimeball: 3\n", "holds tables"),
        ("#cloud-config\nssh_authorized_keys: ['-----BEGIN OPENSSH PRIVATE KEY-----']\n", ".pub"),
    ],
)
def test_what_is_wrong_in_user_data_is_told(text, problem) -> None:
    found = cloud.read_user_data(text.encode())
    assert any(problem in told for told in found.problems), found.problems


OWN = f"""host_name = "north"
time_zone = "UTC"

[wifi]
ssid = "Harbour"
password = "correct horse"   # on the fridge

[ssh]
enabled = true
keys = ["{KEY}"]

[[interface]]
name = "eth0"
method = "static"
addresses = ["192.0.2.5/24"]
gateways = ["192.0.2.1"]

[owner]
name = "ada"
password = "a good long one"

[pool]
name = "pool.example.org"
"""


def test_our_own_file_has_everything() -> None:
    found = own.read(OWN.encode())
    assert found.problems == found.notes == []
    assert set(found.parts) == {"host_name", "time_zone", "wifi", "ssh", "interface"}
    assert set(found.people) == {"owner", "pool"}


def test_a_mistake_costs_its_own_part_and_no_other() -> None:
    """A box without a screen that came into its network can be mended; one that did not, cannot."""
    found = own.read(
        OWN.replace('time_zone = "UTC"', "time_zone = 7")
        .replace('gateways = ["192.0.2.1"]', 'gateways = ["198.51.100.1"]')
        .encode()
    )
    assert set(found.parts) == {"host_name", "wifi", "ssh"}
    assert [told.partition(":")[0] for told in found.problems] == ["time_zone", "interface.1"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hostname = 'x'", 'hostname: there is no such key; did you mean "host_name"?'),
        ("[wifi]\nssid = 'x'\npasword = 'y'", 'wifi.pasword: there is no such key; did you mean "password"?'),
        ("[[interface]]\nnam = 'x'", "interface.1.name"),
        ("[[interface]]\nname = 'eth0'\nmethod = 'statik'", "interface.1.method"),
        ("[[interface]]\nname = 'eth0'\nmethod = 'static'", "needs addresses"),
        ("[[interface]]\nname = 'eth0'\nmethod = 'static'\naddresses = ['192.0.2.5']", "192.0.2.5/24"),
        ("owner = 'ada'", "[owner]"),
        ("\xff", "no UTF-8"),
    ],
)
def test_what_is_wrong_in_our_own_file_is_told(text, problem) -> None:
    found = own.read(text.encode("latin-1"))
    assert any(problem in told for told in found.problems), found.problems


@pytest.mark.parametrize(
    "read",
    [own.read, imager.read, cloud.read_user_data, cloud.read_network_config],
    ids=["own", "imager", "user-data", "network-config"],
)
@settings(max_examples=200)
@given(content=st.one_of(
    st.binary(max_size=400),
    st.text(max_size=300).map(str.encode),
    st.text(alphabet="[]{}=:\"'#-\n abk&*!%|>", max_size=300).map(lambda text: b"#cloud-config\n" + text.encode()),
))  # fmt: skip
def test_whatever_lies_there_is_read_without_a_fault(read, content) -> None:
    found = read(content)
    assert all(isinstance(told, str) for told in [*found.problems, *found.notes])


def test_problems_never_show_what_may_be_a_secret() -> None:
    secret = "hunter2hunter2"
    for text in (
        f"[wifi]\nssid = 'x'\npassword = ['{secret}']",
        f"[wifi]\npassword = {secret}",
        f"[owner]\npassword = '{secret}\n",
    ):
        assert secret not in str(own.read(text.encode()).problems)
    for text in (
        f"#cloud-config\nusers: [{{name: x, plain_text_passwd: {secret}]",
        f"#cloud-config\npassword: @{secret}",
    ):
        assert secret not in str(cloud.read_user_data(text.encode()).problems)


@pytest.mark.parametrize(
    ("name", "text", "secrets"),
    [
        ("timeball.toml", OWN, ("correct horse", "a good long one")),
        ("rpi-preseed.toml", IMAGER, ("ab" * 32, "$y$j9T$abc$def")),
        ("user-data", USER_DATA, ("a good long one",)),
        ("network-config", NETWORK, ("correct horse",)),
        ("user-data", "#cloud-config\npassword: |\n  block of\n  text\nhostname: x\n", ("block of",)),
        (
            "user-data",
            '#cloud-config\nusers: [{name: x, passwd: \'$6$x\'}, {name: y, plain_text_passwd: "p\\"q"}]\n',
            ("$6$x", "p\\"),
        ),
    ],
)
def test_secrets_are_taken_out_and_all_else_stays(name, text, secrets) -> None:
    clean = without_secrets(name, text.encode()).decode()
    assert not any(secret in clean for secret in secrets)
    assert clean.count(TAKEN) >= 1
    # As many lines, but for the block of text; comments and keys as they were.
    assert clean.partition("\n")[0] == text.partition("\n")[0]
    assert without_secrets(name, clean.encode()) == clean.encode(), "once is enough"
    if "fridge" in text:
        assert "fridge" in clean


def test_a_file_without_secrets_is_left_as_it_is() -> None:
    text = "#cloud-config\r\nhostname: x   # mine\r\n"
    assert without_secrets("user-data", text.encode()) == text.encode()
