"""The page of the example shows all that its services publish."""

import ast
import re
from pathlib import Path

from courier.schemas.registry import default_registry

LUMIERE = Path(__file__).parent.parent / "examples" / "lumiere"


def published() -> set[str]:
    """The types of the events that the services make, each by a helper such as `events.backtest_started`."""
    types = {each.replace(".", "_"): each for each in default_registry().types}
    return {
        types[node.attr]
        for path in (LUMIERE / "services").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "events"
    }


def handled() -> set[str]:
    """The types that a panel has a handler for."""
    sources = (path.read_text(encoding="utf-8") for path in (LUMIERE / "src").glob("*.tsx"))
    return {
        name for source in sources for name in re.findall(r'useCourierEvent\(channel, "([a-z_.]+)"', source)
    }


def test_every_type_that_a_service_publishes_has_a_handler_on_the_page() -> None:
    assert len(published()) > 15
    assert published() - handled() == set()
