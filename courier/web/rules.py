"""Rules: how Quart matches a path to what serves it."""

from collections.abc import Callable

from quart.routing import QuartRule


class Rule(QuartRule):
    """A rule that is only matched: no view asks for another's URL.

    Werkzeug compiles two functions per rule that make a URL from its values. Here each is compiled when it is
    called; that would otherwise be half of what an application costs to make.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compile_now = super()._compile_builder

        def build(rule: Rule, **values: object) -> tuple[str, str]:
            made: tuple[str, str] = compile_now(append_unknown)(rule, **values)
            return made

        return build
