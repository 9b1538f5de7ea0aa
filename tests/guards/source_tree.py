"""What the guards look at: the repository's own files, parsed once."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tiered_memory"
UNREAD = {".venv", ".git", "build", "dist", "data", "bench-results", "node_modules"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """A parsed Python file; `name` is its path below the root."""

    name: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]


@cache
def modules(folder: str) -> tuple[Module, ...]:
    """Return every Python file below a folder of the repository."""
    return tuple(_parsed(path) for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def repository_files() -> tuple[Path, ...]:
    """Return the files that are, or would be, under version control; of an unpacked archive, all of them."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())
    return tuple(path for path in ROOT.rglob("*") if path.is_file() and _is_ours(path))


def where(module: Module, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
    return f"{module.name}:{node.lineno}"


def body_lines(function: Function) -> int:
    """Return how many lines a function's statements take, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1


def parameters(function: Function) -> int:
    """Return how many parameters a function has besides self and cls."""
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    every += [one for one in (given.vararg, given.kwarg) if one is not None]
    return sum(one.arg not in {"self", "cls"} for one in every)


def _parsed(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    return Module(str(path.relative_to(ROOT)), text, ast.parse(text))


def _is_ours(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return not any(part in UNREAD or part.endswith(("_cache", "__pycache__", ".egg-info")) for part in parts)
