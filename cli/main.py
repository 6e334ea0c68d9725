"""The `cattery` command: what each subcommand is called and takes; the work is in its own module.

Modules are imported inside the commands, so that `cattery --help` and every process that
`cattery up` starts load only what they use.
"""

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cattery.errors import CatteryError
from cli.console import Console

app = typer.Typer(
    name="cattery",
    help="Cattery: work with AI coding agents, each in a sandbox of its own.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print local variables, secrets among them
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
admin = typer.Typer(
    name="admin", help="Things that only the operator of this machine may do.", no_args_is_help=True
)
app.add_typer(admin)

_RUN = "Run"
_CHECK = "Look after"
_PROCESSES = "Single processes (for your own supervisor)"


def main() -> None:
    """Run the command line; a failure is one sentence on standard error and exit code 1."""
    try:
        from cli.preflight import require_python

        require_python()
        app()
    except CatteryError as error:
        console = Console()
        print(console.paint(f"cattery: {error.message}", "bad"), file=sys.stderr)
        _leave(1)
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        _leave(ended.code or 0)


def _leave(code: int) -> NoReturn:
    """End the process, without what Python does last where Temporal's client was used.

    Threads of that client may still run then, and crash (temporalio/sdk-python#300).
    """
    if "temporalio.bridge" not in sys.modules:
        sys.exit(code)
    logging.shutdown()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


@app.command(rich_help_panel=_RUN)
def up() -> None:
    """Run all of Cattery on this machine, in the foreground, until Ctrl-C.

    Starts an embedded PostgreSQL (unless DATABASE_URL is set) and Temporal server (unless
    TEMPORAL_ADDRESS is set), migrates the database, and runs the model gateway, the API with the
    web UI, and CATTERY_WORKERS workers (default 1). A part that dies is started again.

    The UI is on http://127.0.0.1:8080 (CATTERY_HOST, CATTERY_PORT); data is in CATTERY_HOME.
    The first start prints the password of the user admin, once. Models: ANTHROPIC_API_KEY,
    OPENAI_API_KEY, or ANTHROPIC_BASE_URL, OPENAI_BASE_URL; with none of them a demo model answers.
    """
    from cli.up import run_up

    run_up()


@app.command(rich_help_panel=_RUN)
def down() -> None:
    """Stop the running `cattery up` of this CATTERY_HOME, its parts and its sandboxes."""
    from cli.down import run_down

    run_down()


@app.command(rich_help_panel=_RUN)
def demo(
    *,
    url: Annotated[str | None, typer.Option(help="Another address than the running one's.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What to ask the agent, in place of the usual story.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model to use.")] = None,
) -> None:
    """Tell the story in the terminal, against the running instance.

    Signs in, makes a project, a harness and a session, prompts, streams the answer, lists and
    prints the file that the agent wrote, and cleans up. It makes itself a short-lived user
    directly in the database of this CATTERY_HOME (or of DATABASE_URL), with a random password
    that is never shown, and deletes that user at the end.
    """
    from cli.demo import run_demo

    run_demo(url=url, prompt=prompt, model=model)


@app.command(rich_help_panel=_CHECK)
def status(
    *, json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show which parts run: process, port, since when, memory. Exit code 1 where none does."""
    from cli.status import run_status

    run_status(as_json=json)


@app.command(rich_help_panel=_CHECK)
def doctor(
    *,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Check the Kubernetes cluster of sandboxes instead.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="With --cluster: print JSON for programs.")
    ] = False,
) -> None:
    """Check each part and tool; say what is wrong and what to do. Exit code 1 on a failure.

    With --cluster: the API server, the Sandbox API, rights, the namespace, volumes, quota, and by
    two probe sandboxes, in about 20 seconds, what sandboxes can reach: nothing but the model
    gateway. Best in a worker's pod, where rights, DNS and addresses are those that count:

    kubectl -n cattery-system exec deploy/cattery-worker -- cattery doctor --cluster

    Elsewhere it uses KUBECONFIG, K8S_NAMESPACE, CATTERY_K8S_IMAGE_REGISTRY, CATTERY_K8S_IMAGE_TAG
    and CATTERY_GATEWAY_URL, and what cannot be known there is left out. With DATABASE_URL workers
    take over at once what it found out about the network; otherwise they check for themselves.
    """
    if cluster:
        from cli.doctor_cluster import run_cluster_doctor

        run_cluster_doctor(as_json=json)
    else:
        from cli.doctor import run_doctor

        run_doctor()


@app.command(rich_help_panel=_CHECK)
def migrate() -> None:
    """Bring the database to the present schema, and make the user admin if it has no users.

    Uses DATABASE_URL, or else the embedded PostgreSQL of a running `cattery up`. Safe to repeat
    and beside running processes. The password of admin is printed once, unless
    CATTERY_ADMIN_PASSWORD gives it.
    """
    from cli.database import run_migrate

    run_migrate()


@app.command(rich_help_panel=_CHECK)
def reconcile(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be started, and start nothing.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="First end every workflow that is open: after Temporal was restored from a "
            "backup that is older than the database.",
        ),
    ] = False,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored",
            help="The database was restored from a backup and knows less than there is: as "
            "--replace, and every sandbox is started anew when it is needed. Once, before the "
            "API and the workers are started.",
        ),
    ] = False,
) -> None:
    """Make the workflows again from the rows, after Temporal lost them or a store was restored.

    Starts what must run and has no open workflow: those of sandboxes that start or run, sessions
    with prompts that wait, sessions that were never opened, deletions that have not ended, file
    managers; makes the namespace, the search attributes and the schedules. Prints each. Safe to
    repeat, and beside running processes; it does nothing where the database has no user.

    Uses DATABASE_URL and TEMPORAL_ADDRESS, or else those of a running `cattery up`.
    """
    from cli.reconcile import Wishes, run_reconcile

    run_reconcile(Wishes(is_dry_run=dry_run, replaces=replace, is_restored=restored))


@app.command("setup-temporal", rich_help_panel=_CHECK)
def setup_temporal(
    *,
    file: Annotated[
        Path | None, typer.Option(help="Another file than the one that comes with Cattery.")
    ] = None,
) -> None:
    """Bring a Temporal server to what Cattery needs: namespace, retention, attributes, schedules.

    What that is stands in temporal/setup.toml. Prints what was made and what was there. Safe to
    repeat. Uses TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, or else the server of a running
    `cattery up`.
    """
    from cli.temporal_setup import run_setup_temporal

    run_setup_temporal(file)


@app.command(rich_help_panel=_PROCESSES)
def api() -> None:
    """Run the HTTP process: the API and the web UI. Settings come from the environment."""
    from api.main import run

    run()


@app.command(rich_help_panel=_PROCESSES)
def worker() -> None:
    """Run one worker: workflows, turns and sandboxes. Settings come from the environment."""
    from workers.main import run

    run()


@app.command(rich_help_panel=_PROCESSES)
def gateway() -> None:
    """Run the model gateway, the only process that holds model keys."""
    from cli.gateway_process import run

    run()


@app.command(rich_help_panel=_CHECK)
def version() -> None:
    """Print Cattery's version and those of its parts."""
    from cli.doctor import run_version_command

    run_version_command()


@admin.command("reset-password")
def reset_password(
    username: Annotated[str, typer.Argument(help="Whose password.")] = "admin",
) -> None:
    """Give a user a new random password, print it once, and end the user's sign-ins.

    Uses DATABASE_URL, or else the embedded PostgreSQL of a running `cattery up`.
    """
    from cli.database import run_reset_password

    run_reset_password(username)


if __name__ == "__main__":
    main()
