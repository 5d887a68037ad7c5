"""Which applications are found in a project, without importing it, and how each is started."""

from pathlib import Path

import pytest

from tailgate.harness.first.app import find_apps

FASTAPI = "from fastapi import FastAPI\napp = FastAPI(title='x')\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (FASTAPI, [("app", "FastAPI", False)]),
        ("import fastapi\nserver: fastapi.FastAPI = fastapi.FastAPI()\n", [("server", "FastAPI", False)]),
        ("from starlette.applications import Starlette\nweb = Starlette()\n", [("web", "Starlette", False)]),
        ("from flask import Flask\napp = Flask(__name__)\n", [("app", "Flask", False)]),
        ("def create_app():\n    app = FastAPI()\n    return app\n", [("create_app", "FastAPI", True)]),
        ("def create_app(debug=False):\n    return FastAPI()\n", [("create_app", "FastAPI", True)]),
        ("def create_app(settings):\n    return FastAPI()\n", []),
        ("def create_app(*, settings):\n    return FastAPI()\n", []),
        ("class A:\n    app = FastAPI()\n", []),
        ("app = Other()\n", []),
        ("app = FastAPI\n", []),
        ("app = FastAPI(\n", []),
        ("app: FastAPI\n", []),
        ("raise SystemExit('imported')\napp = FastAPI()\n", [("app", "FastAPI", False)]),
    ],
)
def test_an_application_is_found_by_the_call_that_makes_it(tmp_path, text, found):
    (tmp_path / "a.py").write_text(text)
    assert [(app.name, app.kind, app.factory) for app in find_apps(tmp_path)] == found


def test_the_likeliest_comes_first_and_what_is_no_part_of_the_project_is_passed_over(tmp_path):
    (tmp_path / "main.py").write_text(FASTAPI)
    for name in (
        "other.py",
        "app.py",
        "deep/er/main.py",
        "test_main.py",
        "tests/app.py",
        "node_modules/app.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FASTAPI)
    for folder in (".venv", "own"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "main.py").write_text(FASTAPI)
    (tmp_path / "own" / "pyvenv.cfg").write_text("")
    found = [str(app.file) for app in find_apps(tmp_path)]
    assert found == ["main.py", "app.py", "other.py", "deep/er/main.py"]


@pytest.mark.parametrize(
    ("file", "packages", "place", "folder"),
    [
        ("main.py", [], "main:app", ""),
        ("shop/main.py", ["shop"], "shop.main:app", ""),
        ("shop/__init__.py", ["shop"], "shop:app", ""),
        ("src/shop/api/main.py", ["src/shop", "src/shop/api"], "shop.api.main:app", " --app-dir src"),
        ("service/main.py", [], "main:app", " --app-dir service"),
    ],
)
def test_an_asgi_application_is_started_by_uvicorn_from_above_its_packages(
    tmp_path, file, packages, place, folder
):
    for package in packages:
        (tmp_path / package).mkdir(parents=True, exist_ok=True)
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(FASTAPI)
    (app,) = find_apps(tmp_path)
    assert app.file == Path(file)
    command = f"{{python}} -m uvicorn {place}{folder} --port {{port}} --log-level warning"
    assert app.command(gunicorn=True) == command


def test_other_applications_are_started_by_gunicorn_where_it_is_there_and_else_by_flask(tmp_path):
    (tmp_path / "web.py").write_text("def make():\n    return Flask(__name__)\n")
    (app,) = find_apps(tmp_path)
    assert app.command(gunicorn=True) == "{python} -m gunicorn --bind 127.0.0.1:{port} 'web:make()'"
    assert app.command(gunicorn=False) == "{python} -m flask --app web.py:make run --port {port}"
