"""The matrix of Python versions on one machine: `nox` runs all, `nox -s tests-3.14 -- tests/actors` some.

`make test` is what continuous integration runs, on one version. This is for trying several before a push;
`pipx install nox`, and the interpreters from wherever you have them.
"""

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests that need nothing but Python and Redis, or those that are named behind `--`."""
    session.install("-r", "requirements-dev.lock")
    session.install("--no-deps", "-e", ".", "-e", "clients/python")
    fast = [
        "tests/actors",
        "tests/schemas",
        "tests/metrics",
        "tests/terminal",
        "tests/backplane",
        "tests/web",
    ]
    session.run("pytest", "-n", "4", "--dist", "loadfile", *(session.posargs or fast))


@nox.session(python=PYTHONS)
def client(session: nox.Session) -> None:
    """The tests of the Python client."""
    session.install("-r", "requirements-dev.lock")
    session.install("--no-deps", "-e", ".", "-e", "clients/python")
    options = ["-c", "clients/python/pyproject.toml", "-n", "4"]
    session.run("pytest", *options, *(session.posargs or ["clients/python/tests"]))
