"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME … [--option …]` runs them.

A benchmark is a module of this folder with a docstring and a function `main()`; options go to each that is named.
"""

import ast
import importlib
import sys
from pathlib import Path


def available() -> dict[str, str]:
    """Return name → first line of the docstring of each benchmark, read without importing it."""
    trees = {path.stem: ast.parse(path.read_text()) for path in sorted(Path(__file__).parent.glob("[!_]*.py"))}
    return {
        name: (ast.get_docstring(tree) or "").partition("\n")[0]
        for name, tree in trees.items()
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
    }


def main(words: list[str]) -> int:
    """List the benchmarks, or run the named ones in the order given; from the first option on, words are options."""
    known = available()
    first = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    names, options = words[:first], words[first:]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: no benchmark {', '.join(unknown)}; there are: {', '.join(known) or 'none'}", file=sys.stderr)
        return 2
    if not names:
        for name, summary in known.items():
            print(f"{name:24s} {summary}")
    for name in names:
        run = importlib.import_module(f"benchmarks.{name}").main
        run(options) if options else run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
