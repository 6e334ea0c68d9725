"""Signing in and out: passwords become tokens, tokens become callers, and both can end."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import structlog

from cattery.auth.access import Caller
from cattery.auth.passwords import Passwords, check_new_password
from cattery.auth.tokens import TokenClaims, TokenSigner
from cattery.auth.usernames import normalise_username
from cattery.clock import utc_now
from cattery.db import rate_limits, users
from cattery.db.engine import Database
from cattery.db.rate_limits import RateLimit
from cattery.errors import ForbiddenError, NotSignedInError, RateLimitedError
from cattery.ids import UserId

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh sign-in. `token` is a secret."""

    token: str
    caller: Caller


class SignIn:
    """The sign-ins of a site."""

    def __init__(
        self, database: Database, signer: TokenSigner, passwords: Passwords, limit: RateLimit
    ) -> None:
        self._database = database
        self._signer = signer
        self.passwords = passwords
        self._limit = limit

    async def sign_in(self, username: str, password: str, *, address: str) -> SignedIn:
        """Exchange a name and a password for a token.

        Raises:
            RateLimitedError: too many tries from this address.
            NotSignedInError: unknown name or wrong password; which of them is not said.
        """
        await self._take_permit(f"login:{_network_of(address)}")
        async with self._database.read() as session:
            known = await users.find_credentials(session, normalise_username(username))
        matches = await self.passwords.verify(password, known.password_hash if known else None)
        if known is None or not matches:
            # The name is not logged: people type passwords into that field.
            log.info("sign_in_refused", address=address, user_id=known and str(known.user_id))
            raise NotSignedInError("Wrong username or password. Check both and try again.")
        log.info("user_signed_in", address=address, user_id=str(known.user_id))
        return await self._open(known.user_id, known.username, is_admin=known.is_admin)

    async def identify(self, token: str) -> Caller:
        """Tell who a token belongs to.

        Raises:
            NotSignedInError: it is forged or expired, its sign-in is over, or its user is gone.
        """
        claims = self._signer.read(token)
        if claims is None:
            raise NotSignedInError("Your sign-in is not valid or has expired. Sign in again.")
        user = await users.find_signed_in_user(
            self._database, claims.user_id, claims.auth_session_id
        )
        if user is None:
            raise NotSignedInError("Your sign-in has ended. Sign in again.")
        return Caller(user.user_id, user.username, user.is_admin, claims.auth_session_id)

    async def change_password(self, caller: Caller, old: str, new: str) -> None:
        """Change the caller's own password; all their other sign-ins end.

        Raises:
            RateLimitedError: too many tries of this user.
            ForbiddenError: the old password is wrong.
            BadRequestError: the new one is too weak.
        """
        check_new_password(new)
        await self._take_permit(f"password:{caller.user_id}")
        async with self._database.read() as session:
            known = await users.find_credentials_by_id(session, caller.user_id)
        if known is None:
            raise NotSignedInError
        if not await self.passwords.verify(old, known.password_hash):
            raise ForbiddenError("The old password is wrong. Check it and try again.")
        password_hash = await self.passwords.hash(new)
        async with self._database.write() as session:
            await users.set_password(session, caller.user_id, password_hash)
            await users.revoke_sign_ins(session, caller.user_id, but=caller.auth_session_id)
        log.info("password_changed", user_id=str(caller.user_id))

    async def sign_out(self, caller: Caller) -> None:
        """End the caller's sign-in; its token is worth nothing from now on."""
        async with self._database.write() as session:
            await users.revoke_sign_in(session, caller.auth_session_id)

    async def _open(self, user_id: UserId, username: str, *, is_admin: bool) -> SignedIn:
        async with self._database.write() as session:
            auth_session_id = await users.add_sign_in(session, user_id, self._signer.lifetime)
            await users.note_login(session, user_id)
            await rate_limits.sweep_buckets(session)
        token = self._signer.sign(TokenClaims(user_id, auth_session_id), utc_now())
        return SignedIn(token, Caller(user_id, username, is_admin, auth_session_id))

    async def _take_permit(self, key: str) -> None:
        """Count a try in a transaction of its own, so that it counts however the try ends."""
        async with self._database.write() as session:
            retry_after = await rate_limits.take_permit(session, key, self._limit)
        if retry_after is not None:
            raise RateLimitedError(retry_after)


def _network_of(address: str) -> str:
    """Return the address that a limit counts by: an IPv6 client has a whole /64 to itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:100]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))
