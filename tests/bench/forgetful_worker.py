"""`python tests/bench/forgetful_worker.py`: a worker whose scripted harness keeps nothing on disk.

With a file of its state the harness writes all that all sessions have said at each beginning and
end of a turn: after half an hour of a hundred sessions that blocks it for a second, and what is
measured is the load itself.
"""

from dataclasses import replace

from cattery.harnesses.port import Launch, LaunchInput
from tests.scripted_type import launch_scripted, scripted_type
from workers.main import run


def launch_forgetful(given: LaunchInput) -> Launch:
    """Build what starts the harness, without its last two arguments: `--state` and the file."""
    launch = launch_scripted(given)
    assert launch.argv[-2] == "--state", launch.argv
    return replace(launch, argv=launch.argv[:-2])


if __name__ == "__main__":
    run({"opencode": replace(scripted_type(), launch=launch_forgetful)})
