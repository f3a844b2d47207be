"""courier.env.example: every setting, with its default."""

import re
import subprocess

from courier.settings import Settings, describe, load_settings, variable
from tests.deploy.files import DEPLOY

EXAMPLE = DEPLOY / "courier.env.example"
LINE = re.compile(r"^(#?)(COURIER_[A-Z_]+)=(.*)$", re.MULTILINE)

PRODUCTION = ["COURIER_ENV", "COURIER_JWT_SECRET"]


def test_every_setting_stands_in_it_once_and_has_a_line_that_says_what_it_is() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert [name for _, name, _ in LINE.findall(text)] == [variable(field) for field in Settings.model_fields]
    assert len(re.findall(r"^# .+\n#?COURIER_", text, re.MULTILINE)) == len(Settings.model_fields)


def test_what_is_commented_out_is_the_default() -> None:
    lines = LINE.findall(EXAMPLE.read_text(encoding="utf-8"))
    defaults = dict(describe(load_settings({})))
    shown = {name: value or "not set" for commented, name, value in lines if commented}
    assert shown == {name: value for name, value in defaults.items() if name not in PRODUCTION}


def test_a_shell_reads_it_and_a_node_starts_with_it_once_it_has_a_secret() -> None:
    lines = LINE.findall(EXAMPLE.read_text(encoding="utf-8"))
    assert [name for commented, name, _ in lines if not commented] == PRODUCTION
    read = subprocess.run(
        ["sh", "-euc", f"set -a; . {EXAMPLE}; env"], capture_output=True, text=True, check=True, env={}
    )
    variables = dict(line.split("=", 1) for line in read.stdout.splitlines())
    settings = load_settings(variables | {"COURIER_JWT_SECRET": "s" * 32})
    assert settings.env == "production"
    assert settings.backplane == "memory"
