"""A group of commands of which one is meant where none is named."""

from typing import Any

from shd.cli.plain_help import PlainGroup

__all__ = ["EstimateByDefault"]


class EstimateByDefault(PlainGroup):
    """Take words that begin with no command as arguments of `estimate`: `shd response DWI …` estimates."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `estimate` before the words, unless they name a command or ask for help."""
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["estimate", *args]
        return super().parse_args(ctx, args)
