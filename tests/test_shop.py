"""`examples/shop`: it runs, shows what its README says, and has the code that the README shows."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHOP = ROOT / "examples" / "shop"


def shop(orders: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "examples.shop", "--orders", orders]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)


def test_the_shop_shows_orders_to_their_tenant_and_to_nobody_else() -> None:
    done = shop("2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "bob        is not let in: 1008 Unauthorized access to channel" in lines
    for number in (1, 2):
        [placed] = [place for place, line in enumerate(lines) if f"order {number} placed" in line]
        [shipped] = [place for place, line in enumerate(lines) if f"order {number} shipped" in line]
        assert placed < shipped
    assert lines[-1].startswith("2 orders were placed and shipped")
    assert not done.stderr


def test_a_wrong_number_of_orders_is_one_sentence() -> None:
    done = shop("0")
    assert done.returncode == 2
    assert "expected one order or more" in done.stderr


def plain(text: str) -> str:
    """Code without docstrings, comments and the way in which it is folded."""
    return re.sub(r"\s+", "", re.sub(r'"""[^"]*"""|#.*', "", text)).replace(",)", ")").replace(",]", "]")


def test_the_readme_shows_the_code_that_is_there() -> None:
    readme = (SHOP / "README.md").read_text(encoding="utf-8")
    files = "".join(path.read_text(encoding="utf-8") for path in sorted(SHOP.glob("*.py")))
    code = plain(files.replace("app.state.courier", "courier"))
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(blocks) == 4
    for line in "\n".join(blocks[:3]).splitlines():
        if line.strip() and not line.startswith(("#", "from", "class OrderPlaced", "orders =")):
            assert plain(line) in code, line
