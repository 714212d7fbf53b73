"""`[plugins.members]`: every mistake is told with its place and what would be right."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from appliance.core.config import BadConfig, read_text
from appliance.core.config_check import validate
from appliance_members.config import Config


def members(text: str) -> Config:
    return validate([read_text(text, "test.toml")], {"members": Config}).plugins["members"]


def entry(**values) -> dict:
    return {"address": "192.0.2.1", **values}


def test_the_contracted_keys_are_all_it_takes():
    config = members(
        '[[plugins.members.member]]\naddress = "192.0.2.11"\nport = 123\nnetspeed = 1000\nzones = ["@"]\n'
    )
    (member,) = config.member
    assert (member.address, member.port, member.netspeed, member.zones) == ("192.0.2.11", 123, 1000, ("@",))
    assert member.host == ""


def test_an_address_may_be_a_name_and_a_name_may_stand_beside_an_address():
    config = Config(
        member=[
            {"address": "NTP.example"},
            {"name": "b.example."},
            entry(name="label.example"),
            entry(address="::FFFF:10.0.0.1"),
        ]
    )
    assert [m.host for m in config.member] == ["ntp.example", "b.example", "", ""]
    assert config.member[3].address == "10.0.0.1"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"address": "192.0.2.01"}, "leading zeros"),
        ({"address": "224.0.1.1"}, "multicast"),
        ({"address": "192.0.2.0/24"}, "not a network"),
        ({"address": ""}, "needs an address"),
        ({"address": "not a name"}, "neither an address nor a host name"),
        ({"address": "a.example", "name": "b.example"}, "two different names"),
        ({"netspeed": -1}, "greater than or equal to 0"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"port": 65536}, "less than or equal to 65535"),
        ({"zones": ["0.de"]}, "reserved"),
        ({"zones": []}, "at least one zone"),
        ({"zones": ["a_b"]}, "hyphens"),
        ({"tags": ["two words"]}, "one word"),
        ({"note": "two\nlines"}, "one line"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_bad_entry_is_refused_with_the_reason(values, word):
    with pytest.raises(ValidationError, match=word):
        Config(member=[entry(**values)])


def test_an_endpoint_that_stands_twice_is_told_with_both_places_however_it_is_spelt():
    with pytest.raises(ValidationError, match="entries 1 and 3"):
        Config(member=[entry(), entry(port=124), entry(address="::ffff:192.0.2.1")])
    with pytest.raises(ValidationError, match="entries 1 and 2"):
        Config(member=[{"address": "a.example"}, {"name": "A.example."}])


def test_networks_are_checked_and_the_nearest_is_named():
    with pytest.raises(ValidationError, match=r"did you mean 10\.0\.0\.0/8"):
        Config(verify={"trusted_networks": ["10.1.0.0/8"]})


def test_problems_are_told_all_at_once_with_line_and_key():
    text = (
        "[plugins.members]\nremoval_grace_days = -1\n"
        '[[plugins.members.member]]\naddress = "224.0.0.1"\n'
        '[[plugins.members.member]]\naddress = "192.0.2.1"\nnetspede = 5\n'
    )
    with pytest.raises(BadConfig) as caught:
        members(text)
    told = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "test.toml:2:" in told
    assert "test.toml:4:" in told
    assert "test.toml:7:" in told
    assert '"netspeed"' in told
