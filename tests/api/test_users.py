"""Users: the directory, and their management by admins."""

import asyncio

import pytest

from tests.api.site import Person, Site, made, refused


async def found(person: Person, **params: object) -> list[str]:
    answer = await person.get("/users/search", params=params)
    assert answer.status_code == 200, answer.text
    return [user["username"] for user in answer.json()]


async def test_the_directory_is_searched_by_plain_text(site: Site, ada: Person) -> None:
    for name in ("a_b", "a%b", "axb", "backs'lash"):
        await site.sign_up(name)
    assert await found(ada) == sorted(["a%b", "a_b", "ada", "axb", "backs'lash"])
    assert await found(ada, q="a_") == ["a_b"]
    assert await found(ada, q="%") == ["a%b"]
    assert await found(ada, q="XB") == ["axb"]
    assert await found(ada, q="'") == ["backs'lash"]
    assert await found(ada, q="\\") == []
    assert set((await ada.get("/users/search")).json()[0]) == {"user_id", "username"}


async def test_a_search_gives_twenty_unless_told_and_never_over_fifty(
    site: Site, ada: Person
) -> None:
    for n in range(60):
        await site.sign_up(f"user{n:02}")
    assert len(await found(ada)) == 20
    assert len(await found(ada, limit=1)) == 1
    assert len(await found(ada, limit=50)) == 50
    assert len(await found(ada, limit=1_000)) == 50
    for limit in ("0", "-1", "many", ""):
        refused(await ada.get("/users/search", params={"limit": limit}), 400, "limit")


async def test_an_admin_makes_a_user_and_sees_all_newest_first(root: Person) -> None:
    user = made(
        await root.post(
            "/admin/users", {"username": " Eve ", "password": "12345678", "is_admin": False}
        )
    )
    assert user["username"] == "eve"
    assert user["is_admin"] is False
    assert user["last_login_at"] is None
    assert set(user) == {"user_id", "username", "is_admin", "created_at", "last_login_at"}
    listed = (await root.get("/admin/users")).json()
    assert listed[0] == user
    assert [u["username"] for u in listed] == ["eve", "root"]


async def test_a_taken_name_is_a_conflict(root: Person, ada: Person) -> None:
    body = {"username": "ADA", "password": "12345678", "is_admin": False}
    refused(await root.post("/admin/users", body), 409, "ada")


async def test_a_deleted_users_name_is_free_again(root: Person, ada: Person) -> None:
    await root.delete(f"/admin/users/{ada.user_id}")
    body = {"username": "ada", "password": "12345678", "is_admin": False}
    assert made(await root.post("/admin/users", body))["user_id"] != ada.user_id


@pytest.mark.parametrize(
    "change",
    [
        {"username": None},
        {"username": ""},
        {"username": "   "},
        {"username": "a b"},
        {"username": "a/b"},
        {"username": "a\u200bb"},
        {"username": "x" * 10_000},
        {"username": "nul\0"},
        {"username": 5},
        {"password": None},
        {"password": "seven77"},
        {"password": "x" * 1_025},
        {"is_admin": "yes"},
        {"is_admin": None},
    ],
)
async def test_a_bad_user_is_refused_and_nothing_written(
    root: Person, change: dict[str, object]
) -> None:
    body = {"username": "eve", "password": "12345678", "is_admin": False, **change}
    refused(await root.post("/admin/users", body), 400)
    assert len((await root.get("/admin/users")).json()) == 1


async def test_users_who_are_no_admins_may_not_manage_users(ada: Person, bob: Person) -> None:
    body = {"username": "eve", "password": "12345678", "is_admin": True}
    refused(await ada.get("/admin/users"), 403)
    refused(await ada.post("/admin/users", body), 403)
    refused(await ada.patch(f"/admin/users/{ada.user_id}", {"is_admin": True}), 403)
    refused(await ada.delete(f"/admin/users/{bob.user_id}"), 403)


async def test_a_password_set_by_an_admin_ends_the_users_tokens(root: Person, ada: Person) -> None:
    answer = await root.patch(f"/admin/users/{ada.user_id}", {"password": "a new password"})
    assert answer.json()["username"] == "ada"
    refused(await ada.get("/auth/me"), 401)


async def test_admins_who_set_their_own_password_stay_signed_in(root: Person) -> None:
    answer = await root.patch(f"/admin/users/{root.user_id}", {"password": "a new password"})
    assert answer.status_code == 200
    assert (await root.get("/auth/me")).status_code == 200


async def test_making_somebody_an_admin_counts_at_once(root: Person, ada: Person) -> None:
    answer = await root.patch(f"/admin/users/{ada.user_id}", {"is_admin": True})
    assert answer.json()["is_admin"] is True
    assert (await ada.get("/admin/users")).status_code == 200


async def test_a_change_of_nothing_answers_the_row(root: Person, ada: Person) -> None:
    assert (await root.patch(f"/admin/users/{ada.user_id}", {})).json()["username"] == "ada"


async def test_admins_can_neither_demote_nor_delete_themselves(site: Site, root: Person) -> None:
    await site.sign_up("other", is_admin=True)
    refused(await root.patch(f"/admin/users/{root.user_id}", {"is_admin": False}), 400)
    refused(await root.delete(f"/admin/users/{root.user_id}"), 400)


async def test_two_admins_who_demote_each_other_leave_one(site: Site, root: Person) -> None:
    other = await site.sign_up("other", is_admin=True)
    demote = {"is_admin": False}
    for _ in range(5):
        answers = await asyncio.gather(
            root.patch(f"/admin/users/{other.user_id}", demote),
            other.patch(f"/admin/users/{root.user_id}", demote),
        )
        won, lost = sorted(a.status_code for a in answers)
        assert won == 200
        assert lost in (403, 409)
        still = root if answers[0].status_code == 200 else other
        gone = other if still is root else root
        await still.patch(f"/admin/users/{gone.user_id}", {"is_admin": True})


async def test_two_admins_who_delete_each_other_leave_one(site: Site, root: Person) -> None:
    other = await site.sign_up("other", is_admin=True)
    answers = await asyncio.gather(
        root.delete(f"/admin/users/{other.user_id}"), other.delete(f"/admin/users/{root.user_id}")
    )
    won, lost = sorted(a.status_code for a in answers)
    assert won == 204
    assert lost in (401, 403, 409)


async def test_unknown_users_are_not_found(root: Person) -> None:
    for user_id in ("00000000-0000-0000-0000-000000000000", "not-a-uuid"):
        refused(await root.patch(f"/admin/users/{user_id}", {}), 404)
        refused(await root.delete(f"/admin/users/{user_id}"), 404)


async def test_deleting_a_user_hides_what_they_own_and_starts_the_cascade(
    site: Site, root: Person, ada: Person, bob: Person
) -> None:
    project = await ada.make_project()
    shared = await bob.make_project()
    await ada.post(f"/projects/{project['project_id']}/members", {"username": "bob"})
    await bob.post(f"/projects/{shared['project_id']}/members", {"username": "ada"})
    assert (await root.delete(f"/admin/users/{ada.user_id}")).status_code == 204
    assert site.lifecycles.calls == [("delete_user", ada.user_id)]
    refused(await bob.get(f"/projects/{project['project_id']}"), 404)
    assert (await bob.get(f"/projects/{shared['project_id']}/members")).json() == []
    assert await found(bob) == ["bob", "root"]
    refused(await root.delete(f"/admin/users/{ada.user_id}"), 404)
