"""The signed token that a signed-in client carries: who, which sign-in, until when.

It proves nothing by itself for long: every request also looks at the row of its sign-in, so that
a token ends when its row does.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import jwt

from cattery.clock import utc_now
from cattery.ids import AuthSessionId, UserId, parse_id

ALGORITHM = "HS256"
ISSUER = "cattery"
AUDIENCE = "cattery-api"
TYPE = "access"
LEEWAY = timedelta(seconds=30)
"""How long after its end, by our clock, a token still counts; its sign-in's row ends it as well, by
the database's clock."""
AHEAD = timedelta(minutes=10)
"""How far the clock of the process that signed a token may be ahead of ours. Wide, for a token is
not safer when it waits for its beginning, and people would be signed in at one API only."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a valid token says."""

    user_id: UserId
    auth_session_id: AuthSessionId


class TokenSigner:
    """Makes and reads tokens under one secret."""

    def __init__(self, secret: str, lifetime: timedelta) -> None:
        self._secret = secret
        self.lifetime = lifetime

    def sign(self, claims: TokenClaims, now: datetime) -> str:
        """Make the token of a sign-in."""
        return jwt.encode(
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "typ": TYPE,
                "sub": str(claims.user_id),
                "sid": str(claims.auth_session_id),
                "iat": now,
                "exp": now + self.lifetime,
            },
            self._secret,
            algorithm=ALGORITHM,
        )

    def read(self, token: str) -> TokenClaims | None:
        """Read a token; `None` for one that is forged, expired, or not of ours."""
        try:
            payload = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY,
                options={
                    "require": ["aud", "iss", "exp", "iat", "sub", "sid", "typ"],
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError):
            return None
        user_id = _claimed_id(payload["sub"])
        auth_session_id = _claimed_id(payload["sid"])
        if payload["typ"] != TYPE or user_id is None or auth_session_id is None:
            return None
        if not _has_begun(payload["iat"]):
            return None
        return TokenClaims(UserId(user_id), AuthSessionId(auth_session_id))


def _has_begun(issued_at: object) -> bool:
    latest = (utc_now() + AHEAD).timestamp()
    return isinstance(issued_at, int | float) and issued_at <= latest


def _claimed_id(value: object) -> UUID | None:
    return parse_id(value) if isinstance(value, str) else None
