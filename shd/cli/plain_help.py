"""Help in one style: arguments in capitals, and no type beside options that take no value."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["PlainCommand", "PlainGroup"]


class _Plain:
    """Gives parameters without a name for their value the one of this style."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, the option for help among them; ctx: click's, or typer's copy of it."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if param.metavar is None and getattr(param, "is_flag", False):
                param.metavar = ""
            elif param.metavar is None and param.param_type_name == "argument":
                param.metavar = param.name.upper() + ("..." if param.nargs != 1 else "")
        return params


class PlainCommand(_Plain, TyperCommand):
    """A command with help in this style."""


class PlainGroup(_Plain, TyperGroup):
    """A group of commands with help in this style."""
