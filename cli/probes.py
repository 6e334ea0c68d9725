"""Quick looks at whether a server answers, for ready checks, `status` and `doctor`."""

import asyncio
import contextlib


async def http_status(host: str, port: int, path: str, *, timeout: float = 2) -> tuple[int, str]:
    """GET a path over plain HTTP; return the status and the body.

    Raises:
        OSError: nothing answers there, or not in time.
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            answer = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    status = head.split(" ", 2)[1:2]
    if not status or not status[0].isdigit():
        raise OSError(f"port {port} does not speak HTTP")
    return int(status[0]), body


async def http_answers(host: str, port: int, path: str) -> bool:
    """Tell whether a path answers 200."""
    try:
        status, _ = await http_status(host, port, path)
    except OSError:
        return False
    return status == 200


async def postgres_failure(url: str) -> str | None:
    """Say in a line why a PostgreSQL does not take connections; `None` where it does."""
    import psycopg  # slow to load; meanwhile the server starts

    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=5) as connection:
            await connection.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).strip().partition("\n")[0]
    return None
