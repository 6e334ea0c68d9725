"""Signing in and out (contract/api.md, Sign-in)."""

from fastapi import APIRouter, Request, Response, status

from api.dependencies import SESSION_COOKIE, CurrentUser, Settings, SignInDep
from api.schemas.auth import Credentials, Me, PasswordChange, Token
from api.schemas.errors import answers
from cattery.auth.access import Caller

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post("/login", responses=answers(400, 401, 429))
async def login(
    credentials: Credentials,
    request: Request,
    response: Response,
    sign_in: SignInDep,
    settings: Settings,
) -> Token:
    """Exchange a name and a password for a token; our own UI gets a cookie as well."""
    address = request.client.host if request.client else "unknown"
    signed_in = await sign_in.sign_in(credentials.username, credentials.password, address=address)
    response.set_cookie(
        SESSION_COOKIE,
        signed_in.token,
        max_age=int(settings.token_lifetime.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return Token(token=signed_in.token, user=_me(signed_in.caller))


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT, responses=answers(401))
async def logout(user: CurrentUser, response: Response, sign_in: SignInDep) -> None:
    """End this sign-in: its token is worth nothing from now on."""
    await sign_in.sign_out(user)
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")


@router.get("/me", responses=answers(401))
async def read_me(user: CurrentUser) -> Me:
    """Tell who is signed in, as of now."""
    return _me(user)


@router.post(
    "/change-password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(400, 401, 403, 429),
)
async def change_password(change: PasswordChange, user: CurrentUser, sign_in: SignInDep) -> None:
    """Change one's own password; every other token of the user ends."""
    await sign_in.change_password(user, change.old_password, change.new_password)


def _me(caller: Caller) -> Me:
    return Me(user_id=caller.user_id, username=caller.username, is_admin=caller.is_admin)
