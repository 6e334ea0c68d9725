"""How many files and connections a process may have open."""

import resource

import structlog

log = structlog.get_logger(__name__)

ENOUGH = 65_536


def allow_many_files() -> None:
    """Raise the soft limit as far as the hard one allows.

    Each stream is a connection, and what a login shell or systemd allows a process by itself,
    often 1,024, is fewer than the streams that one process serves.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.warning("open_files_stay_limited", limit=soft, error=str(error))
