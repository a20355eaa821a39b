"""Who gets in, and what never becomes a path."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from client import Nursery, Page, Server, studio
from websockets.exceptions import InvalidStatus


def test_the_page_is_kept_to_itself(server: Server) -> None:
    status, headers, body = server.get("/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for address in re.findall(r'(?:src|href)="([^"]+)"', body.decode()):
        assert server.get(f"/{address}")[0] == 200
    status, headers, _ = server.get("/", headers={"If-None-Match": headers["etag"]})
    assert status == 304


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/..%2f..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/studio/server.py",
        "/%00",
        "/style/",
        "/.git",
    ],
)
def test_no_address_becomes_a_path(server: Server, path: str) -> None:
    assert server.get(path)[0] in (400, 404)


@pytest.mark.parametrize("key", ["../a", "..", "a/b", "%2e%2e%2fa", "*", "", "%00"])
def test_no_key_becomes_a_path(server: Server, key: str) -> None:
    page = Page(server, key)
    assert page.key != key
    assert page.welcome["restored"] is False
    page.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_sites_are_refused(server: Server, headers: dict[str, str]) -> None:
    assert server.get("/", headers=headers)[0] == 403
    if "Host" not in headers:
        with pytest.raises(InvalidStatus) as refused:
            Page(server, additional_headers=headers)
        assert refused.value.response.status_code == 403
    assert server.get("/", headers={"Origin": server.base})[0] == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert server.get("/", headers=link)[0] == 200, "a link to the page can be followed"
    assert server.get("/app.js", headers=link)[0] == 403


def test_elsewhere_only_with_the_token(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    with studio(nursery, tmp_path, models, "--host", "0.0.0.0") as server:
        token = server.query.removeprefix("token=")
        assert len(token) >= 32
        server.base = re.sub("//[^:]+", "//127.0.0.1", server.base)
        for address in ("/", "/app.js", "/session/x/node/1", "/?token=", f"/?token={token}x", f"/?token={token[:-1]}é"):
            assert server.get(address.replace("é", "%C3%A9"))[0] == 403
        with pytest.raises(InvalidStatus):
            Page(Server(server.pid, server.base))
        _, headers, _ = server.get(f"/?token={token}")
        cookie = headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        assert server.get("/app.js", headers={"Cookie": cookie.split(";")[0]})[0] == 200
        page = Page(server)
        assert page.file("node/1")[0] == 200


def test_a_page_behind_a_tunnel(nursery: Nursery, models: Path, tmp_path: Path) -> None:
    """A tunnel calls the server by the page's own name, or by the one that it forwards to; either way with the token."""
    with studio(nursery, tmp_path, models, "--origin", "https://name.example/") as server:
        token = server.query.removeprefix("token=")
        assert len(token) >= 32
        for host in ("name.example", server.base.removeprefix("http://")):
            mine = {"Host": host, "Origin": "https://name.example"}
            assert server.get(f"/?token={token}", headers=mine)[0] == 200
            assert server.get("/", headers=mine)[0] == 403
            for other in ("https://evil.example", "https://name.example.evil", "https://name.example:444", "null"):
                assert server.get(f"/?token={token}", headers={"Host": host, "Origin": other})[0] == 403
        page = Page(server, additional_headers={"Origin": "https://name.example"})
        assert page.file("node/1")[0] == 200
        with pytest.raises(InvalidStatus):
            Page(server, additional_headers={"Origin": "https://evil.example"})
        assert server.get(f"/?token={token}", headers={"Host": "evil.example"})[0] == 403
        # SSH forwards a port: the page and the server agree on its name.
        assert server.get(f"/?token={token}", headers={"Host": "localhost:9", "Origin": "http://localhost:9"})[0] == 200


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--host", "0.0.0.0", "--token", "none"], "anybody could get in"),
        (["--token", "short"], "16 or more"),
        (["--port", "99999"], "--port"),
        (["--models", "/nowhere"], "no such folder"),
        (["--most-edits", "0"], "at least 1"),
        (["--origin", "name.example"], "write the address of the tunnel's page"),
        (["--origin", "https://name.example/path"], "write the address of the tunnel's page"),
        (["--origin", "https://name.example", "--token", "none"], "through the tunnel"),
    ],
)
def test_flags_that_make_no_sense(flags: list[str], says: str) -> None:
    command = [sys.executable, "-m", "gansteer", "studio", "--no-open", "--port", "0", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_port_is_taken(server: Server) -> None:
    port = server.base.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "gansteer", "studio", "--no-open", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, "give another with --port" in done.stderr) == (2, True)
