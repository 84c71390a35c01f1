"""Custom endpoints in a real server: an installed package, the shipped pair, and starts that are refused."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from argosy.testing.server import Reply, RunningServer, serving

MODULE = dedent('''
    """Endpoints of somebody else's."""

    import threading

    from argosy.plugins import Context, Request, Response


    class Inventory:
        """Says which models there are."""

        pattern = "inventory"
        description = "Says which models there are."

        def get(self, request: Request, context: Context) -> Response:
            models = {
                model.name: [(worker.is_running, worker.memory_bytes > 0, worker.pid) for worker in model.workers]
                for model in context.models.values()
            }
            return Response.json({"models": models, "store": context.config["model_store"], "thread": threading.current_thread().name})

        def post(self, request: Request, context: Context) -> Response:
            return Response(request.body.upper(), 201, "Shouted", "text/shout", [("X-Length", str(len(request.body)))])

        def put(self, request: Request, context: Context) -> Response:
            raise ValueError("a secret")

        def delete(self, request: Request, context: Context) -> Response:
            threading.Event().wait()


    class Maintenance:
        """For those who manage the server."""

        pattern = "maintenance"
        listener = "management"

        async def get(self, request: Request, context: Context) -> Response:
            return Response("maintained", content_type="text/plain")


    class Clash:
        """Wants what somebody else has."""

        pattern = "inventory"

        def get(self, request: Request, context: Context) -> Response:
            return Response("never")
''')
PROJECT = dedent('''
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"

    [project]
    name = "inventory-endpoint"
    version = "1.0"

    [project.entry-points."argosy.endpoints"]
    inventory = "inventory_endpoint:Inventory"
    maintenance = "inventory_endpoint:Maintenance"
''')


def put_on_the_path(folder: Path, name: str = "inventory-endpoint", **endpoints: str) -> Path:
    """A folder with the module and what an installer would leave beside it."""
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "inventory_endpoint.py").write_text(MODULE)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = inventory_endpoint:{value}" for key, value in endpoints.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[argosy.endpoints]", *lines, ""]))
    return folder


def ask(server: RunningServer, method: str, path: str, body: str | None = None, *, management: bool = False, request_id: str = "id") -> Reply:
    """One request on a connection of its own."""
    with contextlib.closing(server.connect(management=management)) as connection:
        connection.request(method, path, body, {"x-request-id": request_id})
        response = connection.getresponse()
        return Reply(response.status, response.read(), {"reason": response.reason, **{name.lower(): value for name, value in response.getheaders()}})


def test_an_installed_package_adds_endpoints(tmp_path: Path) -> None:
    """Built and installed like any other, without a network; named in the configuration, it answers on its listener."""
    pytest.importorskip("pip")
    pytest.importorskip("hatchling")
    project, site = tmp_path / "project", tmp_path / "site"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "inventory_endpoint.py").write_text(MODULE)
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site), str(project)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    with serving(tmp_path, "okay", env={"PYTHONPATH": str(site)}, settings={"endpoints": "inventory, maintenance"}) as server:
        server.wait_for_line(r"Custom endpoint /inventory on the inference listener: Says which models there are\.")
        found = ask(server, "GET", "/inventory").json
        assert found["models"] == {"okay": [[True, True, server.workers("okay")[0]]]}
        assert found["store"] == str(server.store.folder)
        assert found["thread"].startswith("argosy-endpoint-")
        assert ask(server, "GET", "/maintenance", management=True).text == "maintained"
        assert ask(server, "GET", "/maintenance").status == 404
        assert ask(server, "GET", "/inventory", management=True).status == 404
        inference, management = (ask(server, "GET", "/openapi.json", management=where).json["paths"] for where in (False, True))
        assert list(inference["/inventory"]) == ["get", "put", "post", "delete"]
        assert inference["/inventory"]["get"]["description"].startswith("Says which models there are.")
        assert list(management["/maintenance"]) == ["get"]
        assert "/maintenance" not in inference
        assert "/inventory" not in management
        assert server.predict("okay", "echo:1").text == "1"


def test_replies_and_failures(tmp_path: Path) -> None:
    """The reply is the endpoint's; a failure has an id for the client and a traceback for the log; a missing method is 405."""
    site = put_on_the_path(tmp_path / "site", inventory="Inventory")
    with serving(tmp_path, env={"PYTHONPATH": str(site)}, settings={"endpoints": "inventory"}) as server:
        reply = ask(server, "POST", "/inventory/x", "quiet")
        assert (reply.status, reply.text, reply.headers["reason"]) == (201, "QUIET", "Shouted")
        assert (reply.headers["content-type"], reply.headers["x-length"]) == ("text/shout", "5")
        reply = ask(server, "PUT", "/inventory", "x", request_id="mine")
        assert (reply.status, reply.json["message"]) == (500, "Unknown exception; the log says more under request mine")
        server.wait_for_line(r"endpoint /inventory failed, request mine")
        server.wait_for_line(r"ValueError: a secret")
        assert ask(server, "PATCH", "/inventory").status == 405


def test_an_endpoint_that_never_returns_stops_nothing(tmp_path: Path) -> None:
    """Not other requests, and not the end of the server."""
    site = put_on_the_path(tmp_path / "site", inventory="Inventory")
    settings = {"endpoints": "inventory", "drain_timeout_s": 0.2}
    with serving(tmp_path, env={"PYTHONPATH": str(site)}, settings=settings) as server:
        connections = [server.connect() for _ in range(2)]
        for connection in connections:
            connection.request("DELETE", "/inventory")
        assert json.loads(ask(server, "GET", "/inventory").body)["models"] == {}
        assert server.ping().status == 200
        server.stop(30)
        for connection in connections:
            connection.close()


def test_two_endpoints_of_one_pattern_refuse_the_start(tmp_path: Path) -> None:
    """With the words of old."""
    site = put_on_the_path(tmp_path / "site", inventory="Inventory")
    put_on_the_path(site, "other", clash="Clash")
    server = RunningServer(tmp_path, {"endpoints": "ALL"}, env={"PYTHONPATH": str(site)})
    server.launch()
    assert server.wait() != 0
    assert 'Multiple plugins found for endpoint "inventory"' in "\n".join(server.output)


def test_an_endpoint_that_is_not_installed_refuses_the_start(tmp_path: Path) -> None:
    """With the names of those that are."""
    server = RunningServer(tmp_path, {"endpoints": "nosuch"})
    server.launch()
    assert server.wait() != 0
    assert "endpoints names nosuch, which is not installed; installed are: execution-parameters, sagemaker-ping" in "\n".join(server.output)


def test_the_shipped_pair(tmp_path: Path) -> None:
    """Both count what can really serve: nothing yet, then two workers that take batches of four."""
    with serving(tmp_path, settings={"endpoints": "execution-parameters,sagemaker-ping", "max_request_size": 3 * 2**20}) as server:
        reply = server.ping()
        assert (reply.status, reply.text) == (503, "Models are not loaded")
        assert ask(server, "GET", "/execution-parameters").json["MaxConcurrentTransforms"] == 1
        server.store.add("okay")
        assert server.register("okay", initial_workers=2, batch_size=4).status == 200
        assert (server.ping().status, server.ping().text) == (200, '{\n\t"Status": "Healthy"\n}\n')
        assert ask(server, "GET", "/execution-parameters").json == {
            "MaxConcurrentTransforms": 8, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 3,
        }  # fmt: skip
        assert ask(server, "POST", "/ping").status == 405


def test_nothing_is_switched_on_by_default(tmp_path: Path) -> None:
    """Installing something changes no server."""
    site = put_on_the_path(tmp_path / "site", inventory="Inventory")
    with serving(tmp_path, env={"PYTHONPATH": str(site)}) as server:
        assert ask(server, "GET", "/inventory").status == 404
        assert ask(server, "GET", "/execution-parameters").status == 404
        assert server.ping().text == '{\n  "status": "Healthy"\n}\n'
