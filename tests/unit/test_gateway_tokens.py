"""Tokens of sandboxes: their form, and how long the gateway believes an answer about one."""

import hashlib
import re
from datetime import timedelta

from cattery.auth.sandbox_tokens import hash_token, looks_like_token, new_token
from gateway.tokens import RememberingVerifier
from tests.unit.gateway_support import TokenTable


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_new_tokens_are_prefixed_base62_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(200)}
    assert len(tokens) == 200
    assert all(re.fullmatch(r"ctk_[0-9A-Za-z]{43}", token) for token in tokens)
    assert all(looks_like_token(token) for token in tokens)


def test_a_token_is_stored_as_its_sha256() -> None:
    assert hash_token("ctk_x") == hashlib.sha256(b"ctk_x").digest()


async def test_an_answer_is_believed_for_its_lifetime_and_no_longer() -> None:
    clock, table = Clock(), TokenTable()
    verifier = RememberingVerifier(table, lifetime=timedelta(seconds=5), clock=clock)
    token = table.issue()
    assert await verifier.verify(token) is not None
    table.revoke(token)
    clock.now += 4.9
    assert await verifier.verify(token) is not None
    assert table.asked == 1
    clock.now += 0.1
    assert await verifier.verify(token) is None
    assert table.asked == 2


async def test_a_refusal_is_remembered_too() -> None:
    clock, table = Clock(), TokenTable()
    verifier = RememberingVerifier(table, lifetime=timedelta(seconds=5), clock=clock)
    token = new_token()
    assert [await verifier.verify(token) for _ in range(3)] == [None, None, None]
    assert table.asked == 1


async def test_garbage_never_reaches_the_verifier() -> None:
    table = TokenTable()
    verifier = RememberingVerifier(table, lifetime=timedelta(seconds=5))
    for garbage in ("", "ctk_", "sk-ant-real", "ctk_" + "ä" * 43, new_token() + "\n", "x" * 10_000):
        assert await verifier.verify(garbage) is None
    assert table.asked == 0


async def test_the_memory_is_bounded() -> None:
    table = TokenTable()
    verifier = RememberingVerifier(table, lifetime=timedelta(seconds=5), capacity=10)
    first = table.issue()
    await verifier.verify(first)
    for _ in range(10):
        await verifier.verify(new_token())
    await verifier.verify(first)
    assert table.asked == 12
