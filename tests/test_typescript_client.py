"""The TypeScript client knows the contract of this version."""

from pathlib import Path

from click.testing import CliRunner

from courier.cli import main

EVENTS = Path(__file__).parent.parent / "clients" / "typescript" / "src" / "events.ts"


def test_the_types_of_the_typescript_client_are_what_courier_contract_typescript_prints() -> None:
    printed = CliRunner(env={"COURIER_EVENT_MODULES": ""}).invoke(main, ["contract", "typescript"])
    assert printed.exit_code == 0, printed.output
    assert EVENTS.read_text(encoding="utf-8") == printed.output, (
        "write them anew: courier contract typescript > clients/typescript/src/events.ts"
    )
