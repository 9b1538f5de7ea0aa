"""Embedders by name: what the setting `embedder` may say."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from tiered_memory.embedding.base import Embedder
from tiered_memory.embedding.model2vec_embedder import Model2VecEmbedder, is_model2vec
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import ConfigurationError

STATIC = "static"
_FACTORY = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<factory>[A-Za-z_]\w*)")


def load_embedder(named: str) -> Embedder:
    """Return the embedder that a setting names.

    `static` is the one shipped with the package. `module:factory` imports `module` and calls `factory`, a class
    or a function, without arguments. Anything else is the directory of a model: one that
    `scripts/distill_embedder.py` wrote, or one in model2vec's format.

    Raises:
        ConfigurationError: there is no such embedder, or what was found is none.
    """
    if named == STATIC:
        return StaticEmbedder()
    found = _FACTORY.fullmatch(named)
    if found is not None:
        return _made(found["module"], found["factory"])
    directory = Path(named)
    if not named or not _is_directory(directory):
        raise ConfigurationError(
            f"embedder must be 'static', the directory of a model, or 'module:factory'; {named!r} is none of them"
        )
    return Model2VecEmbedder(directory) if is_model2vec(directory) else StaticEmbedder(directory)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for the file system
        return False


def _made(module: str, factory: str) -> Embedder:
    try:
        make = getattr(import_module(module), factory)
    except ImportError as error:
        raise ConfigurationError(
            f"embedder: the module {module!r} cannot be imported ({error.name})"
        ) from error
    except AttributeError as error:
        raise ConfigurationError(f"embedder: the module {module!r} has no {factory!r}") from error
    made = make() if callable(make) else make
    if not isinstance(made, Embedder):
        raise ConfigurationError(f"embedder: {module}:{factory} gave no embedder (name, dimensions, embed)")
    if not made.name or made.dimensions < 1:
        raise ConfigurationError(f"embedder: {module}:{factory} has no name, or no dimensions")
    return made
