"""Confines a harness with bubblewrap, where bubblewrap really works.

Whether it does depends on the kernel, on the container around us and on AppArmor, so it is tried
once, with the very flags that will be used. Inside there is a read-only system, the project's
workspace, the sandbox's own HOME and scratch folder, the skills and the installed harnesses, and
its own processes; nothing else of the machine's files or processes can be seen. The network is
the machine's, for the harness listens on loopback and the model gateway is there.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cattery.sandboxes.port import Isolation

WORK = "/work"
HOME = "/home/agent"
SKILLS = "/skills"
TOOLS = "/opt/cattery/tools"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER = "agent"
UID = 1000

_NAMESPACES = (
    *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--hostname", "sandbox", "--new-session", "--die-with-parent"),
)
_IDENTITY = ("--unshare-user", "--uid", str(UID), "--gid", str(UID))
_VARIANTS = ((*_IDENTITY, "--disable-userns"), _IDENTITY)
"""Tried in turn: older releases of bubblewrap lack `--disable-userns`."""
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    *("ssl/certs", "ssl/openssl.cnf", "ssl/cert.pem", "pki/ca-trust", "pki/tls/certs"),
    *("pki/tls/cert.pem", "crypto-policies", "ca-certificates", "alternatives", "localtime"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "nsswitch.conf", "hosts", "host.conf"),
    *("protocols", "services", "mime.types", "magic", "profile", "bash.bashrc", "inputrc"),
    *("terminfo", "fonts", "timezone", "debian_version", "os-release", "gai.conf"),
)
_AS_ROOT = " Cattery runs as root here; as an ordinary user it would confine them better."
_PROC_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "scsi", "acpi")
"""A sandbox of root would otherwise change the whole machine's kernel settings there."""
_PROBE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Mounts:
    """The places on this machine that one sandbox gets to see."""

    workspace: Path
    home: Path
    tmp: Path
    etc: Path
    skills: Path
    tools: Path
    interpreters: tuple[Path, ...] = ()
    """Folders that virtual environments among the tools stand on, shown where they are."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """How sandboxes are confined here. `bwrap` is `None` where they are not; `reason` says why."""

    bwrap: str | None
    identity: tuple[str, ...] = ()
    reason: str = ""

    def describe(self) -> Isolation:
        """Say it in words."""
        if self.bwrap is None:
            return Isolation(
                confined=False,
                summary=(
                    f"Harnesses run unconfined, as your own user: {self.reason} They can read "
                    "and change every file that you can. Their environment holds no model key."
                ),
            )
        return Isolation(
            confined=True,
            summary=(
                "Harnesses are confined by bubblewrap: they see their project's workspace, a "
                "read-only system and skills, and their own processes. They share this machine's "
                "network, what listens on its loopback included."
                + (_AS_ROOT if os.geteuid() == 0 else "")
            ),
        )

    def wrap(self, argv: Sequence[str], mounts: Mounts) -> tuple[str, ...]:
        """Put bubblewrap before a command. Call it only where `bwrap` is set."""
        if self.bwrap is None:
            raise ValueError("there is no bubblewrap to confine a harness with")
        return (
            *(self.bwrap, *self.identity, *_NAMESPACES),
            *_system_mounts(),
            *("--dir", "/etc", *_etc_mounts(mounts.etc), *_tool_settings(mounts.tools)),
            *("--bind", str(mounts.tmp), "/tmp"),  # noqa: S108 - the sandbox's own
            *("--dir", "/var/tmp", "--dir", "/run"),  # noqa: S108 - the sandbox's own
            *("--bind", str(mounts.home), HOME),
            *("--bind", str(mounts.workspace), WORK),
            *("--ro-bind", str(mounts.skills), SKILLS),
            *("--ro-bind", str(mounts.tools), TOOLS),
            *_interpreter_mounts(mounts.interpreters),
            *("--remount-ro", "/", "--chdir", WORK, "--", *argv),
        )


def probe_confinement() -> Confinement:
    """Find out by trying how harnesses can be confined here; takes about 10 ms."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Confinement(
            None,
            reason="bubblewrap is not installed (Debian, Ubuntu, Fedora: package bubblewrap).",
        )
    said = ""
    for identity in _VARIANTS:
        command = [bwrap, *identity, *_NAMESPACES, *_system_mounts(), "--", "/usr/bin/env", "true"]
        try:
            result = subprocess.run(
                command,
                capture_output=True,
                check=False,
                timeout=_PROBE_SECONDS,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
            continue
        if result.returncode == 0:
            return Confinement(bwrap, identity)
        said = result.stderr.decode(errors="replace").strip()
    return Confinement(
        None,
        reason=(
            f"bubblewrap is installed but does not work here ({said[-200:]}). Allow user "
            "namespaces: on Ubuntu `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, "
            "in a container a profile that permits them."
        ),
    )


def write_identity(etc: Path) -> None:
    """Write the user and group files of a confined sandbox, and its copy of name servers."""
    files = {
        "passwd": (
            "root:x:0:0:root:/root:/bin/sh\n"
            f"{USER}:x:{UID}:{UID}:{USER}:{HOME}:/bin/sh\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
        "group": f"root:x:0:\n{USER}:x:{UID}:\nnogroup:x:65534:\n",
        "hostname": "sandbox\n",
    }
    try:
        files["resolv.conf"] = Path("/etc/resolv.conf").read_text()
    except OSError:
        files["resolv.conf"] = ""
    for name, text in files.items():
        (etc / name).write_text(text)


def _system_mounts() -> list[str]:
    mounts = ["--ro-bind", "/usr", "/usr"]
    for path in _SYSTEM:
        if Path(path).is_symlink():
            mounts += ["--symlink", os.readlink(path), path]  # noqa: PTH115 - kept as it is
        else:
            mounts += ["--ro-bind-try", path, path]
    mounts += ["--proc", "/proc", "--dev", "/dev"]
    for name in _PROC_READ_ONLY:
        mounts += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    return mounts


def _interpreter_mounts(folders: Sequence[Path]) -> list[str]:
    return [part for path in folders for part in ("--ro-bind", str(path), str(path))]


def _tool_settings(tools: Path) -> list[str]:
    """Show what a bridge brings for /etc, such as settings above those of a project."""
    mounts = []
    for folder in sorted(tools.glob("bridges/*/etc/*")):
        mounts += ["--ro-bind", str(folder), f"/etc/{folder.name}"]
    return mounts


def _etc_mounts(own: Path) -> list[str]:
    mounts = []
    for name in _ETC:
        mounts += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in ("passwd", "group", "hostname", "resolv.conf"):
        mounts += ["--ro-bind", str(own / name), f"/etc/{name}"]
    return mounts
