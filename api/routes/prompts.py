"""Prompts and their queue: our own UI's way to prompt, apart from the stream of events."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Header, status

from api.dependencies import Db, LifecyclesDep, SessionAccess
from api.follow_up import tell_beside
from api.schemas.errors import answers
from api.schemas.prompts import AcceptedPrompt, Prompt, PromptCreate
from api.schemas.text import PlainText
from cattery.db import prompts
from cattery.db.prompts import PromptAuthor
from cattery.errors import BadRequestError, NotFoundError
from cattery.ids import PromptId, parse_id

router = APIRouter(prefix="/sessions/{session_id}/prompts", tags=["prompts"])

MAX_KEY_LENGTH = 255


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses=answers(400, 401, 404, 409, 413),
)
async def submit_prompt(
    access: SessionAccess,
    wanted: PromptCreate,
    database: Db,
    lifecycles: LifecyclesDep,
    answer: BackgroundTasks,
    idempotency_key: Annotated[
        PlainText | None,
        Header(description="Sending the same key and text again gives the same turn."),
    ] = None,
) -> AcceptedPrompt:
    """Prompt the agent; while another turn runs, the prompt waits in the queue."""
    access.require_chat()
    if idempotency_key is not None and not 0 < len(idempotency_key) <= MAX_KEY_LENGTH:
        raise BadRequestError(f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters.")
    author = PromptAuthor(access.user.user_id, access.user.username)
    async with database.quick() as rows:
        accepted = await prompts.accept_prompt(
            rows, access.session_id, author, wanted.text, idempotency_key
        )
    tell_beside(answer, lifecycles.submit_prompt(access.session_id, accepted.prompt_id))
    return AcceptedPrompt(
        turn_id=accepted.prompt_id, turn_no=accepted.turn_no, after=accepted.seq - 1
    )


@router.get("", responses=answers(401, 404))
async def list_prompts(access: SessionAccess, database: Db) -> list[Prompt]:
    """List the prompts that run or wait, in their order."""
    async with database.read() as session:
        found = await prompts.list_open_prompts(session, access.session_id)
    return [Prompt.model_validate(prompt) for prompt in found]


@router.delete(
    "/{turn_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(401, 404, 409),
)
async def remove_prompt(access: SessionAccess, turn_id: str, database: Db) -> None:
    """Take a prompt that still waits out of the queue."""
    prompt_id = parse_id(turn_id)
    if prompt_id is None:
        raise NotFoundError("prompt")
    async with database.write() as session:
        await prompts.remove_queued_prompt(
            session, access.project_id, access.session_id, PromptId(prompt_id)
        )
