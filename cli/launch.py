"""Start a part so that it cannot outlive its supervisor: run as a script, it becomes the part.

Between fork and exec three things must happen in the child itself: ask the kernel for a signal
when the parent dies, look whether it died already, and for PostgreSQL, which refuses to run as
root, become another user. A script of its own does this without the hazards of `preexec_fn`. It
imports only the standard library (`python -I -S`), so it costs about 15 ms.
"""

import argparse
import contextlib
import ctypes
import os
import platform
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 4
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def main() -> None:
    """Become the command after `--`, bound to the life of the parent."""
    options = _parse_arguments()
    if options.uid is not None:
        become_user(options.uid, options.gid)
    if platform.system() == "Linux":
        # After becoming another user: that clears the request.
        _prctl(_PR_SET_PDEATHSIG, signal.Signals[options.death_signal])
    if os.getppid() != options.parent:
        sys.exit("The supervisor ended while this part was being started.")
    os.execv(options.command[0], options.command)  # noqa: S606 - a list, never a shell


def become_user(uid: int, gid: int) -> None:
    """Give up root for another user, keeping only the right to read and pass through folders.

    The folders above the data and the programs may well be closed to that user (a home of mode
    0700, a clone in the HOME of root). Opening them to everybody would be worse than this: one
    ambient capability, which the kernel drops with the process.
    """
    if platform.system() != "Linux":
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        return
    # Without it the kernel takes capabilities away on setuid, and ignores them in `access()`, by
    # which PostgreSQL finds its own programs.
    with contextlib.suppress(OSError):
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):  # containers often lack the first
        with contextlib.suppress(OSError):
            _keep_only(1 << capability)
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
            return
    _keep_only(0)


def _keep_only(bits: int) -> None:
    header = _CapabilityHeader(version=_LINUX_CAPABILITY_VERSION_3, pid=0)
    sets = (_CapabilitySets * 2)()
    sets[0].effective = sets[0].permitted = sets[0].inheritable = bits
    if _libc().capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _prctl(option: int, *values: int) -> None:
    arguments = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if _libc().prctl(option, *arguments) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", default="SIGTERM")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int, default=-1)
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


if __name__ == "__main__":
    main()
