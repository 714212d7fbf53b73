"""Where a receiver is connected, and how late it is."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from appliance.api.config import PluginConfig, setting

_RECEIVER = re.compile(
    r"/dev/(tty(ACM|USB|AMA|S|THS|O|mxc)[0-9]{1,3}|serial[0-9]|gps[0-9]{0,3}|pts/[0-9]{1,5})"
)
_CHIP = re.compile(r"auto|/dev/gpiochip[0-9]{1,3}|[A-Za-z0-9][A-Za-z0-9._:-]{0,31}")


class GpsConfig(PluginConfig):
    """`[plugins.gps]`. Without a pin and a receiver there is nothing to do, and nothing runs."""

    receiver: str = setting(
        "",
        help='Where the receiver speaks: a serial line such as "/dev/ttyACM0" (USB) or "/dev/serial0" (pins), "gpsd" '
        'for one that gpsd reads, or "" for none.',
        examples=["/dev/ttyACM0", "/dev/serial0", "gpsd"],
        live=True,
    )
    pps_pin: int = setting(
        -1, help="Number of the GPIO line that carries the pulse of each second (18 on most hats, 4 on some); -1 for none.",
        examples=[18], ge=-1, le=1023, live=True,
    )  # fmt: skip
    pps_chip: str = setting(
        "auto", help='GPIO chip of the pin: its path or label; "auto" finds the header of a Raspberry Pi.',
        examples=["auto", "/dev/gpiochip0"], live=True, advanced=True,
    )  # fmt: skip
    edge: Literal["auto", "rising", "falling"] = setting(
        "auto", help='The edge that marks the second; "auto" takes the one that begins the shorter phase.', live=True,
    )  # fmt: skip
    pull_down: bool = setting(
        default=False, help="Hold the pin low when nothing drives it: for long wires and receivers that come and go.",
        live=True, advanced=True,
    )  # fmt: skip
    pulse_delay_s: float = setting(
        0.0, help="How late the pulse is: 5 ns for each metre of the antenna's cable, and what the receiver's maker says.",
        unit="s", gt=-0.4, lt=0.4, live=True, advanced=True,
    )  # fmt: skip
    receiver_delay_s: float = setting(
        0.2, help="How long after its second the receiver begins to speak. Of weight only without a pulse.",
        unit="s", ge=-0.5, le=1.5, live=True, advanced=True,
    )  # fmt: skip
    speed: int = setting(
        0, help="Of the serial line; 0 finds it.", unit="bit/s", ge=0, le=1_000_000, live=True, advanced=True
    )
    gpsd_port: int = setting(
        2947, help="Port of gpsd on this machine.", ge=1, le=65535, live=True, advanced=True
    )
    reader: str = setting(
        "/run/timeball-gps.sock",
        help="Socket of the service that may open the devices; where there is none, a child of the appliance tries.",
        pattern=r"^/[A-Za-z0-9._/-]{1,100}$", live=True, advanced=True,
    )  # fmt: skip
    gps_socket: str = setting(
        "/run/chrony.timeball-gps.sock", help="chronyd's socket for what the receiver says (`refclock SOCK …`).",
        pattern=r"^/(run|tmp)/[A-Za-z0-9._/-]{1,90}\.sock$", live=True, advanced=True,
    )  # fmt: skip
    pps_socket: str = setting(
        "/run/chrony.timeball-pps.sock", help="chronyd's socket for pulses (`refclock SOCK …`).",
        pattern=r"^/(run|tmp)/[A-Za-z0-9._/-]{1,90}\.sock$", live=True, advanced=True,
    )  # fmt: skip

    @field_validator("receiver")
    @classmethod
    def _a_receiver(cls, value: str) -> str:
        if value and value != "gpsd" and not _RECEIVER.fullmatch(value):
            raise ValueError(f'expected "gpsd" or a serial line such as "/dev/ttyACM0", got {value!r}')
        return value

    @field_validator("pps_chip")
    @classmethod
    def _a_chip(cls, value: str) -> str:
        if not _CHIP.fullmatch(value):
            raise ValueError(f'expected "auto", a path such as "/dev/gpiochip0" or a label, got {value!r}')
        return value

    @property
    def wanted(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.receiver) or self.pps_pin >= 0
