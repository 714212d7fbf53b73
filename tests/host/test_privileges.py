"""Root becomes a user who may bind low ports and nothing else: a real root, a real user, and the kernel's word for it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dns.message
import pytest

from appliance.host import privileges
from appliance.host.privileges import User, become, find_user, give, own_rights
from appliance.host.starts import Starts
from tests.support.native import need_native
from tests.support.netns import Namespace, network
from tests.support.programs import REPOSITORY, cannot_run, need, need_root
from tests.support.threads import CAP_NET_BIND_SERVICE, packet_threads, rights, threads
from tests.support.wait import wait_until

NOBODY = "nobody"


@pytest.fixture
def nobody() -> User:
    need_root()
    return find_user(NOBODY)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user can reach (pytest's own are closed to others)."""
    made = Path("/tmp") / f"timeball-test-{os.getpid()}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o755)
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


# -- words


def test_a_user_that_is_not_there_is_told_with_the_command_that_makes_one() -> None:
    with pytest.raises(ValueError, match=r"useradd --system .* no-such-user"):
        find_user("no-such-user")
    with pytest.raises(ValueError, match="there is no user"):
        find_user("a\0b")


def as_nobody(code: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}:{site_packages()}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [interpreter(), "-c", code], user=NOBODY, group=pwd.getpwnam(NOBODY).pw_gid, extra_groups=[], cwd="/",
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def site_packages() -> Path:
    return Path(dns.__file__).parent.parent


def interpreter() -> str:
    """A Python of our version that any user can start, with our packages."""
    environment = os.environ | {
        "PYTHONPATH": f"{REPOSITORY}:{site_packages()}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    minor = f"python3.{sys.version_info.minor}"
    for found in (sys.executable, shutil.which(minor, path="/usr/bin:/usr/local/bin")):
        if found:
            try:
                done = subprocess.run([found, "-c", "import pydantic_core, appliance, ctypes, sqlite3"], user=NOBODY, extra_groups=[],
                                      env=environment, cwd="/", capture_output=True, check=False)  # fmt: skip
            except PermissionError:
                continue
            if done.returncode == 0:
                return found
    return cannot_run(
        f"no {minor} here that the user {NOBODY} can start together with this tree: keep both out of /root"
    )


def test_who_is_not_root_cannot_become_somebody_else(nobody: User) -> None:
    code = (
        "from pathlib import Path; from appliance.host.privileges import *\n"
        "become(find_user('nobody'), Path('/nonexistent'))\n"  # is it already: nothing to do
        "try: become(find_user('daemon'), Path('/nonexistent'))\n"
        "except ValueError as error: print(error)"
    )
    done = as_nobody(code)
    assert "only root can become 'daemon', and this is 'nobody'" in done.stdout, done.stderr


def test_what_we_are_is_read_from_the_kernel(nobody: User) -> None:
    ours = own_rights()
    assert (ours.user, ours.root) == ("root", True)
    code = "from appliance.host.privileges import *; print(own_rights())"
    assert "Rights(user='nobody', root=False, capabilities=()" in as_nobody(code).stdout


# -- the state folder


def test_what_root_left_in_the_state_folder_is_given_away(folder: Path, nobody: User) -> None:
    (folder / "timeball.db").write_text("")
    (folder / "plugins" / "mine").mkdir(parents=True)
    (folder / "plugins" / "mine" / "__init__.py").write_text("")
    give(folder, nobody)
    assert {path.stat().st_uid for path in (folder, *folder.rglob("*"))} == {nobody.uid}
    assert {path.stat().st_gid for path in (folder, *folder.rglob("*"))} == {nobody.gid}


def test_a_folder_in_which_only_the_starts_were_counted_is_ours_too(folder: Path, nobody: User) -> None:
    Starts(folder).begin()
    assert (folder / "starts.json").exists()
    give(folder, nobody)
    assert (folder / "starts.json").stat().st_uid == nobody.uid


def test_traps_in_the_state_folder_give_nothing_else_away(folder: Path, nobody: User) -> None:
    victim, state = folder / "victim", folder / "state"
    victim.write_text("secret")
    (folder / "other").mkdir()
    (folder / "other" / "file").write_text("")
    state.mkdir()
    (state / "timeball.db").write_text("")
    (state / "link").symlink_to(victim)
    (state / "second-name").hardlink_to(victim)
    (state / "folder").symlink_to(folder / "other")
    os.mkfifo(state / "fifo")
    give(state, nobody)
    assert (state / "timeball.db").stat().st_uid == nobody.uid
    for path in (victim, folder / "other", folder / "other" / "file", state / "fifo"):
        assert path.lstat().st_uid == 0, path


@pytest.mark.parametrize("name", ["/etc", "/usr", "/"])
def test_a_slip_of_the_pen_does_not_give_the_system_away(name: str, nobody: User) -> None:
    with pytest.raises(ValueError, match="files that are not Timeball's"):
        give(Path(name), nobody)
    assert Path(name).stat().st_uid == 0


def test_somebody_elses_folder_stays_theirs(folder: Path, nobody: User) -> None:
    os.chown(folder, 1, 1)
    with pytest.raises(ValueError, match=f"belongs to '{pwd.getpwuid(1).pw_name}'"):
        become(nobody, folder)
    assert folder.stat().st_uid == 1
    assert os.geteuid() == 0


# -- the whole process

CONFIG = """
[appliance]
state_dir = "{state}"
dataplane = "{plane}"
user = "nobody"
[plugins.clock]
source = "{clock}"
[plugins.ntp]
listen = ["0.0.0.0:123", "[::]:123"]
allow = ["{allow}"]
[plugins.dns]
zone = "pool.example.org"
listen = ["0.0.0.0:53"]
[plugins.web]
enabled = false
"""


class Appliance:
    """`timeball run` as root inside a network namespace."""

    def __init__(self, space: Namespace, folder: Path, plane: str, *, clock: str = "local") -> None:
        self.space, self.folder, self.plane, self.clock = space, folder, plane, clock
        self.config = folder / "config.toml"
        self.configure("0.0.0.0/0")
        self.log = folder / "log"

    def configure(self, allow: str) -> None:
        text = CONFIG.format(state=self.folder / "state", plane=self.plane, allow=allow, clock=self.clock)
        self.config.write_text(text)
        self.config.chmod(0o644)

    def start(self, *options: str) -> None:
        self.folder.joinpath("state").mkdir(exist_ok=True)
        environment = os.environ | {
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}:{site_packages()}", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        with self.log.open("w") as log:
            self.process = self.space.start(
                interpreter(), "-c", "from appliance.cli import main; main()", "run", "--config", str(self.config), *options,
                env=environment, stdout=log, stderr=log, cwd="/",
            )  # fmt: skip

    def says(self, words: str) -> None:
        def said() -> bool:
            assert self.process.poll() is None or words in self.log.read_text(), self.log.read_text()
            return words in self.log.read_text()

        wait_until(said, f"the log says {words!r}", timeout_s=60)

    @property
    def main(self) -> int:
        # `ip netns exec` becomes the program that it starts
        return self.process.pid

    def all_threads(self) -> list[Path]:
        return [task for tasks in threads(self.main).values() for task in tasks]


def ask_time(space: Namespace) -> bytes:
    return ask(space, 123, bytes([0x23]) + bytes(47))


def ask_name(space: Namespace) -> dns.message.Message:
    question = dns.message.make_query("pool.example.org.", "SOA")
    return dns.message.from_wire(ask(space, 53, question.to_wire()))


def ask(space: Namespace, port: int, message: bytes) -> bytes:
    with space.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.connect(("127.0.0.1", port))

        def asked() -> bytes:
            try:
                sock.send(message)
                return sock.recv(2048)
            except OSError:
                return b""

        return wait_until(asked, f"an answer from port {port}", timeout_s=60)


def check_rights(appliance: Appliance, user: User) -> None:
    for task in appliance.all_threads():
        seen, name = rights(task), (task / "comm").read_text()
        assert set(seen.uid) == {user.uid}, name
        assert set(seen.gid) == {user.gid}, name
        assert seen.groups == ()
        assert seen.no_new_privileges
        for kind, mask in seen.capabilities.items():
            assert mask & ~CAP_NET_BIND_SERVICE == 0, f"{name}: Cap{kind} {mask:x}"
        assert seen.capabilities["Inh"] == seen.capabilities["Amb"] == 0


@pytest.mark.parametrize("plane", ["python", "native"])
def test_root_becomes_the_user_and_serves_low_ports_before_and_after_a_reload(
    folder: Path, nobody: User, plane: str
) -> None:
    if plane == "native":
        need_native()
    with network() as net:
        space = net.namespace()
        appliance = Appliance(space, folder, plane)
        # The DNS port is taken at first: it must be bound later, when nobody is root any more.
        with space.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("0.0.0.0", 53))
            appliance.start()
            appliance.says("runs as nobody")
            assert len(ask_time(space)) == 48
            check_rights(appliance, nobody)
            appliance.says("in use")
        assert ask_name(space).rcode() == 0
        check_rights(appliance, nobody)
        if plane == "native":
            for service in ("ntp", "dns"):
                tasks = packet_threads(service, appliance.main)
                assert tasks
                assert {rights(task).seccomp for task in tasks} == {2}
        state = folder / "state"
        assert {path.lstat().st_uid for path in (state, *state.iterdir())} == {nobody.uid}

        appliance.configure("127.0.0.0/8")
        os.kill(appliance.main, 1)
        appliance.says("plugins.ntp.allow changed")
        assert len(ask_time(space)) == 48
        check_rights(appliance, nobody)
        appliance.process.terminate()
        assert appliance.process.wait(20) == 0, appliance.log.read_text()


def test_a_user_that_is_not_there_ends_the_start_with_78_and_changes_nothing(
    folder: Path, nobody: User
) -> None:
    with network() as net:
        appliance = Appliance(net.namespace(), folder, "python")
        appliance.start("--user", "no-such-user")
        assert appliance.process.wait(60) == 78
        said = appliance.log.read_text()
        assert "appliance.user: there is no user 'no-such-user'" in said
        assert "Traceback" not in said
        assert (folder / "state").stat().st_uid == 0


def test_root_without_a_user_is_warned_once(folder: Path, nobody: User) -> None:
    with network() as net:
        appliance = Appliance(net.namespace(), folder, "python")
        appliance.start("--user", "")
        appliance.says(privileges.ADVICE)
        assert struct.unpack("!B", ask_time(appliance.space)[:1])[0] & 7 == 4
        assert appliance.log.read_text().count("runs as root") == 1
        appliance.process.terminate()
        assert appliance.process.wait(20) == 0


@pytest.mark.timeout(400)  # its waits of a minute each come one after the other
def test_chronyd_is_asked_by_a_user_without_privileges(folder: Path, nobody: User) -> None:
    with network() as net:
        space = net.namespace()
        config = folder / "chrony.conf"
        config.write_text(
            f"local stratum 5\nport 0\ncmdport 323\nbindcmdaddress 127.0.0.1\nbindcmdaddress {folder}/chronyd.sock\n"
            f"pidfile {folder}/chronyd.pid\n"
        )
        with (folder / "chrony.log").open("w") as log:
            space.start(need("chronyd"), "-x", "-d", "-u", "root", "-f", str(config), stdout=log, stderr=log)
        appliance = Appliance(space, folder, "python", clock="chrony")
        appliance.start()
        appliance.says("runs as nobody")
        wait_until(
            lambda: ask_time(space)[:2] == bytes((0x24, 5)), "chronyd's stratum in our replies", timeout_s=60
        )
        check_rights(appliance, nobody)


ANEW = """
import os, socket, sys
from pathlib import Path
from appliance.host.privileges import *
if len(sys.argv) > 1:
    become(find_user("nobody"), Path(sys.argv[1]))
    keep_through_exec()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:-1]])
become(find_user("nobody"), Path("/nonexistent"))
with socket.socket() as low:
    low.bind(("127.0.0.1", 123))
print(own_rights())
print(Path("/proc/self/status").read_text())
"""


def test_who_begins_anew_may_still_bind_low_ports_and_its_children_may_not(
    folder: Path, nobody: User
) -> None:
    state = folder / "state"
    state.mkdir()
    with network() as net:
        space = net.namespace()
        environment = os.environ | {
            "PYTHONPATH": f"{REPOSITORY}:{site_packages()}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            space.command([interpreter(), "-c", ANEW, str(state)]), env=environment, cwd="/", capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (
        "user='nobody', root=False, capabilities=('net_bind_service',), no_new_privileges=True" in done.stdout
    )
    sets = dict(re.findall(r"Cap(\w+):\s+(\w+)", done.stdout))
    assert {int(value, 16) for value in sets.values()} <= {0, CAP_NET_BIND_SERVICE}
    assert int(sets["Amb"], 16) == int(sets["Inh"], 16) == 0
