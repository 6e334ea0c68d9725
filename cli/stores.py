"""Where the database and Temporal of this data folder are now: external, or run by `cattery up`."""

from cattery.settings import TemporalSettings
from cli.configuration import UpSettings
from cli.errors import CommandError
from cli.home import Home
from cli.ports import read_ports
from cli.running import find_supervisor


def locate_database(settings: UpSettings, home: Home) -> str:
    """Return the database's URL.

    Raises:
        CommandError: neither is DATABASE_URL set nor does a `cattery up` run.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    port = _require_port(home, "postgres", "DATABASE_URL")
    return embedded_database_url(home, port)


def locate_temporal(settings: UpSettings, home: Home) -> TemporalSettings:
    """Return where Temporal is.

    Raises:
        CommandError: neither is TEMPORAL_ADDRESS set nor does a `cattery up` run.
    """
    address = settings.temporal_address
    if address is None:
        address = f"127.0.0.1:{_require_port(home, 'temporal', 'TEMPORAL_ADDRESS')}"
    return TemporalSettings(address=address, namespace=settings.temporal_namespace)


def embedded_database_url(home: Home, port: int) -> str:
    """Return the URL of the embedded server's database. Secret: it carries the password."""
    password = home.secret("database")
    return f"postgresql://cattery:{password}@127.0.0.1:{port}/cattery?sslmode=disable"


def _require_port(home: Home, name: str, variable: str) -> int:
    port = read_ports(home).get(name)
    if port is None or find_supervisor(home) is None:
        raise CommandError(
            f"No Cattery runs with the data in {home.folder}. Start it with `cattery up`, choose "
            f"another folder with CATTERY_HOME, or set {variable}."
        )
    return port
