"""The built web UI beside the API, and the headers that guard both."""

from pathlib import Path

from tests.api.conftest import BuildApp
from tests.api.site import API, Person, Site, refused


async def test_the_ui_is_served_with_its_assets_cached_for_ever(
    build_app: BuildApp, site: Site, web_dist: Path
) -> None:
    app = build_app(web_dist=str(web_dist))
    async with Site(app, site.database, site.lifecycles).client() as client:
        client.headers["Accept-Encoding"] = "identity"
        for path in ("/", "/index.html", "/projects/1/files", "/assets-of-mine"):
            page = await client.get(path)
            assert page.status_code == 200
            assert page.text == "<title>Cattery</title>"
            assert page.headers["Content-Type"].startswith("text/html")
            assert page.headers["Cache-Control"] == "no-cache"
            assert "script-src 'self'" in page.headers["Content-Security-Policy"]
            assert page.headers["X-Frame-Options"] == "DENY"
        assert (await client.head("/")).status_code == 200
        script = await client.get("/assets/app-1a2b3c.js")
        assert script.text == "plain"
        assert script.headers["Content-Type"].startswith("text/javascript")
        assert script.headers["X-Content-Type-Options"] == "nosniff"
        assert "immutable" in script.headers["Cache-Control"]


async def test_a_compressed_file_is_sent_to_who_takes_it(
    build_app: BuildApp, site: Site, web_dist: Path
) -> None:
    app = build_app(web_dist=str(web_dist))
    async with Site(app, site.database, site.lifecycles).client() as client:
        for accepted, encoding, size in (
            ("gzip, deflate, br, zstd", "br", 2),
            ("gzip", "gzip", 2),
            ("deflate", None, 5),
        ):
            headers = {"Accept-Encoding": accepted}
            answer = await client.head("/assets/app-1a2b3c.js", headers=headers)
            assert answer.headers.get("Content-Encoding") == encoding
            assert answer.headers["Content-Length"] == str(size)
            assert answer.headers["Vary"] == "Accept-Encoding"


async def test_nothing_outside_the_build_is_reachable(
    build_app: BuildApp, site: Site, web_dist: Path
) -> None:
    (web_dist.parent / "secret").write_text("secret")
    app = build_app(web_dist=str(web_dist))
    async with Site(app, site.database, site.lifecycles).client() as client:
        for path in ("/../secret", "/%2e%2e/secret", "//etc/passwd", "/assets/../../secret"):
            assert "secret" not in (await client.get(path)).text
        refused(await client.get("/assets/gone.js"), 404)
        refused(await client.get(f"{API}/nothing"), 404)
        refused(await client.post("/"), 404)


async def test_without_a_build_only_the_api_is_served(site: Site) -> None:
    async with site.client() as client:
        refused(await client.get("/"), 404, "web UI")


async def test_answers_of_the_api_are_neither_stored_nor_framed(ada: Person) -> None:
    headers = (await ada.get("/projects")).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_a_raw_file_may_be_framed_by_the_ui(site: Site, ada: Person) -> None:
    project = await ada.make_project()
    await site.make_workspace(project)
    base = f"/projects/{project['project_id']}/files"
    upload = {"file": ("page.html", b"<script>1</script>")}
    await ada.call("POST", f"{base}/upload", params={"path": "/"}, files=upload)
    for path in (f"{base}/raw?path=/page.html", f"{base}/raw-path/page.html"):
        headers = (await ada.get(path)).headers
        assert "X-Frame-Options" not in headers
        assert "sandbox" in headers["Content-Security-Policy"]
