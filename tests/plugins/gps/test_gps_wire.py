"""Bytes that the kernel and chronyd read and write: held against the C compiler's own view of their structures."""

from __future__ import annotations

import subprocess

import pytest

from appliance_gps.reading import feed, gpio
from tests.plugins.gps.chips import FakeChips
from tests.support.programs import need

_PROGRAM = r"""
#include <linux/gpio.h>
#include <sys/time.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
struct sock_sample { struct timeval tv; double offset; int pulse; int leap; int _pad; int magic; };
#define P(name, value) printf("%s %llu\n", name, (unsigned long long)(value))
int main(void) {
  struct gpio_v2_line_request r;
  P("get_line", GPIO_V2_GET_LINE_IOCTL); P("get_chipinfo", GPIO_GET_CHIPINFO_IOCTL);
  P("request", sizeof r); P("consumer", offsetof(struct gpio_v2_line_request, consumer));
  P("flags", offsetof(struct gpio_v2_line_request, config.flags)); P("attrs", offsetof(struct gpio_v2_line_request, config.num_attrs));
  P("lines", offsetof(struct gpio_v2_line_request, num_lines)); P("buffer", offsetof(struct gpio_v2_line_request, event_buffer_size));
  P("fd", offsetof(struct gpio_v2_line_request, fd));
  P("event", sizeof(struct gpio_v2_line_event)); P("line_seqno", offsetof(struct gpio_v2_line_event, line_seqno));
  P("id", offsetof(struct gpio_v2_line_event, id)); P("chipinfo", sizeof(struct gpiochip_info));
  P("input", GPIO_V2_LINE_FLAG_INPUT); P("rising", GPIO_V2_LINE_FLAG_EDGE_RISING); P("falling", GPIO_V2_LINE_FLAG_EDGE_FALLING);
  P("down", GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN); P("realtime", GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME);
  P("sample", sizeof(struct sock_sample)); P("offset", offsetof(struct sock_sample, offset)); P("magic", offsetof(struct sock_sample, magic));
  P("pulse", offsetof(struct sock_sample, pulse));
  return 0;
}
"""


def test_structures_and_requests_are_those_of_the_headers(tmp_path) -> None:
    (tmp_path / "sizes.c").write_text(_PROGRAM)
    subprocess.run([need("cc"), "-o", tmp_path / "sizes", tmp_path / "sizes.c"], check=True, timeout=120)
    lines = subprocess.run(
        [tmp_path / "sizes"], capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    c = {name: int(value) for name, value in (line.split() for line in lines)}
    assert c["get_line"] == gpio.GET_LINE
    assert c["get_chipinfo"] == gpio.GET_CHIPINFO
    assert c["request"] == gpio.LINE_REQUEST.size
    assert c["event"] == gpio.LINE_EVENT.size
    assert c["chipinfo"] == gpio.CHIPINFO.size
    assert (c["input"], c["rising"], c["falling"], c["down"], c["realtime"]) == (
        gpio.FLAG_INPUT, gpio.FLAG_EDGE_RISING, gpio.FLAG_EDGE_FALLING, gpio.FLAG_BIAS_PULL_DOWN, gpio.FLAG_EVENT_CLOCK_REALTIME,
    )  # fmt: skip
    filled = gpio.LINE_REQUEST.pack(7, *[0] * 63, b"me", 0x0102, 3, 4, 5, 6)
    for offset, value in (
        (0, 7),
        (c["flags"], 0x0102),
        (c["attrs"], 3),
        (c["lines"], 4),
        (c["buffer"], 5),
        (c["fd"], 6),
    ):
        assert int.from_bytes(filled[offset : offset + 4], "little") == value
    assert filled[c["consumer"] : c["consumer"] + 2] == b"me"
    event = gpio.LINE_EVENT.pack(1, 2, 3, 4, 5)
    assert (event[c["id"]], event[c["line_seqno"]]) == (2, 5)
    assert c["sample"] == feed.SOCK_SAMPLE.size == 40
    sample = feed.pack(feed.Sample(1_700_000_000_123_456_789, 0.25, pulse=True))
    assert int.from_bytes(sample[c["magic"] : c["magic"] + 4], "little") == 0x534F434B
    assert int.from_bytes(sample[c["pulse"] : c["pulse"] + 4], "little") == 1


def test_a_line_is_asked_for_with_both_edges_and_dates_of_the_system_clock() -> None:
    chips = FakeChips()
    line = gpio.request_line(chips.path, 18, chips)
    try:
        assert line.realtime
        assert (
            chips.flags
            == gpio.FLAG_INPUT
            | gpio.FLAG_EDGE_RISING
            | gpio.FLAG_EDGE_FALLING
            | gpio.FLAG_EVENT_CLOCK_REALTIME
        )
        assert line.events() == []
        chips.edge("rising", 5)
        chips.edge("falling", 6, lost=2)
        assert line.events() == [gpio.EdgeEvent("rising", 5, 1), gpio.EdgeEvent("falling", 6, 4)]
        chips.gone()
        with pytest.raises(OSError, match="taken away"):
            line.events()
    finally:
        line.close()
        chips.gone()


def test_an_old_kernel_dates_with_the_monotonic_clock() -> None:
    chips = FakeChips(knows_realtime=False)
    line = gpio.request_line(chips.path, 18, chips, pull_down=True)
    line.close()
    chips.gone()
    assert not line.realtime
    assert chips.flags & gpio.FLAG_BIAS_PULL_DOWN


@pytest.mark.parametrize(
    ("chip", "offset", "says"),
    [
        ("/dev/gpiochip0", 4, "pps-gpio"),
        ("/dev/gpiochip0", 60, "no line 60"),
        ("/dev/gpiochip9", 4, "there is no /dev/gpiochip9"),
    ],
)
def test_a_line_that_cannot_be_had_says_what_would_help(chip, offset, says) -> None:
    chips = FakeChips()
    chips.taken = {4}
    with pytest.raises(gpio.NoLine, match=says):
        gpio.request_line(chip, offset, chips)


def test_the_chip_of_the_header_is_found_by_its_label() -> None:
    assert gpio.find_chip("auto", FakeChips(label="pinctrl-rp1")) == "/dev/gpiochip0"
    assert gpio.find_chip("/dev/gpiochip3", FakeChips()) == "/dev/gpiochip3"
    assert gpio.find_chip("INTC1057:00", FakeChips(label="INTC1057:00")) == "/dev/gpiochip0"
    with pytest.raises(gpio.NoLine, match="INTC1057:00"):
        gpio.find_chip("auto", FakeChips(label="INTC1057:00"))
    nothing = FakeChips()
    nothing.chips = list
    with pytest.raises(gpio.NoLine, match="no GPIO chip"):
        gpio.find_chip("auto", nothing)
