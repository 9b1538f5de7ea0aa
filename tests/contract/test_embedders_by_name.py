"""What the setting `embedder` may say, and models in model2vec's format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from other_embedders import SHIPPED, LengthEmbedder, rotated_model, truncated_model
from support import consenting, opened

from tiered_memory.embedding.base import Embedder
from tiered_memory.embedding.load import load_embedder
from tiered_memory.embedding.model2vec_embedder import Model2VecEmbedder
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import ConfigurationError, InvalidInputError

pytestmark = pytest.mark.anyio

DIMENSIONS = 32
TEXTS = ["I prefer concise answers", "", "Zoë drinks 绿茶", "an unbroken " + "x" * 200, "\ud800 half a pair"]
NAMES = {"float32": "F32", "float16": "F16", "float64": "F64", "int8": "I8", "int32": "I32", "int64": "I64"}


def safetensors(path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write arrays as a safetensors file."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    at = 0
    for name, array in tensors.items():
        end = at + array.nbytes
        header[name] = {
            "dtype": NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [at, end],
        }
        at = end
    encoded = json.dumps(header).encode()
    body = b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + body)


def shipped_table() -> tuple[Any, Any]:
    return np.load(SHIPPED / "codes.npy")[:, :DIMENSIONS], np.load(SHIPPED / "scales.npy")


def model(directory: Path, tensors: dict[str, Any], **more: Any) -> Path:
    """Write a directory as model2vec does; the tokenizer is the shipped one."""
    directory.mkdir()
    safetensors(directory / "model.safetensors", tensors, **more)
    shutil.copy(SHIPPED / "tokenizer.json", directory)
    (directory / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}))
    return directory


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    codes, scales = shipped_table()
    table = (codes * scales[:, None]).astype(np.float32)
    return model(tmp_path_factory.mktemp("m") / "plain", {"embeddings": table}, metadata={"format": "np"})


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> StaticEmbedder:
    return StaticEmbedder(truncated_model(tmp_path_factory.mktemp("m") / "reference", DIMENSIONS))


# --- by name -------------------------------------------------------------------------------------------------


def test_static_is_the_shipped_one() -> None:
    found = load_embedder("static")
    assert (found.name, found.dimensions) == (StaticEmbedder().name, 256)


async def test_a_directory_of_a_static_model(tmp_path: Path) -> None:
    found = load_embedder(str(rotated_model(tmp_path / "rotated")))
    assert found.name.startswith("rotated-")
    assert (await found.embed(["tea"])).shape == (1, 264)


def test_a_directory_of_model2vec(plain: Path) -> None:
    assert isinstance(load_embedder(str(plain)), Model2VecEmbedder)


@pytest.mark.parametrize("factory", ["LengthEmbedder", "length"])
async def test_a_factory(factory: str) -> None:
    found = load_embedder(f"other_embedders:{factory}")
    assert isinstance(found, LengthEmbedder)
    assert (await found.embed(["tea"])).tolist() == [[3, 0, 3]]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("no-such-directory", "'static', the directory of a model, or 'module:factory'"),
        ("", "none of them"),
        ("x" * 5000, "none of them"),
        ("no_such_module_at_all:x", "cannot be imported"),
        ("other_embedders:nothing", "has no 'nothing'"),
        ("other_embedders:no_embedder", "gave no embedder"),
        ("other_embedders:SHIPPED", "gave no embedder"),
    ],
)
def test_what_is_none_is_refused(
    named: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=says):
        load_embedder(named)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load_embedder(str(tmp_path))


@given(st.text(max_size=30).filter(lambda named: named != "static" and "\x00" not in named))
def test_whatever_it_says_the_answer_is_an_embedder_or_a_typed_error(named: str) -> None:
    try:
        found = load_embedder(named)
    except ConfigurationError:
        return
    assert isinstance(found, Embedder)


async def test_the_setting_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERED_MEMORY_EMBEDDER", "other_embedders:LengthEmbedder")
    async with opened(tmp_path / "data", settings={"redis_url": "local"}) as memory:
        alice = await consenting(memory)
        await alice.add("I prefer tea", importance=0.9)
        assert memory._runtime is not None
        assert memory._runtime.parts.core.embedder.name == "lengths-3"


async def test_a_wrong_one_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="embedder"):
        async with opened(tmp_path / "data", settings={"embedder": "nonsense"}):
            pass
    assert not (tmp_path / "data").exists()


# --- model2vec -----------------------------------------------------------------------------------------------


async def test_its_vectors_are_the_sums_of_the_tokens(plain: Path, reference: StaticEmbedder) -> None:
    found = await Model2VecEmbedder(plain).embed(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference.embed_now(TEXTS), atol=1e-3)
    assert not found[1].any()


async def test_a_table_as_sentence_transformers_saves_it(
    plain: Path, tmp_path: Path, reference: StaticEmbedder
) -> None:
    codes, scales = shipped_table()
    table = (codes * scales[:, None]).astype(np.float16)
    other = Model2VecEmbedder(model(tmp_path / "st", {"embedding.weight": table}))
    np.testing.assert_allclose(await other.embed(TEXTS), reference.embed_now(TEXTS), rtol=0.01, atol=0.05)
    assert other.name != Model2VecEmbedder(plain).name


@pytest.mark.parametrize("mapping", ["int32", "int64"])
async def test_a_quantised_vocabulary(tmp_path: Path, reference: StaticEmbedder, mapping: str) -> None:
    """Rows in another order, each token's found by the mapping and scaled by its weight."""
    codes, scales = shipped_table()
    order = np.random.default_rng(3).permutation(len(codes))
    rows = np.empty_like(order)
    rows[order] = np.arange(len(codes))
    tensors = {
        "embeddings": codes[order],
        "mapping": rows.astype(mapping),
        "weights": scales.astype(np.float64),
    }
    found = await Model2VecEmbedder(model(tmp_path / "quantised", tensors)).embed(TEXTS)
    np.testing.assert_allclose(found, reference.embed_now(TEXTS), atol=1e-3)


async def test_a_batch_keeps_its_order_and_its_bits(plain: Path) -> None:
    embedder = Model2VecEmbedder(plain)
    texts = [f"message {number} of many" for number in range(1200)]
    whole = await embedder.embed(texts)
    alone = np.vstack([await embedder.embed([text]) for text in texts[::100]])
    np.testing.assert_array_equal(whole[::100], alone)


async def test_no_texts_and_one_string(plain: Path) -> None:
    embedder = Model2VecEmbedder(plain)
    assert (await embedder.embed([])).shape == (0, DIMENSIONS)
    with pytest.raises(InvalidInputError, match="not one string"):
        await embedder.embed("tea")


def test_the_name_follows_the_content(plain: Path, tmp_path: Path) -> None:
    same = tmp_path / "plain"
    shutil.copytree(plain, same)
    assert Model2VecEmbedder(same).name == Model2VecEmbedder(plain).name
    with (same / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    assert Model2VecEmbedder(same).name != Model2VecEmbedder(plain).name


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "safetensors"),
        (b"\xff" * 64, "safetensors"),
        ((4).to_bytes(8, "little") + b"nope", "safetensors"),
        ((2).to_bytes(8, "little") + b"{}", "no static model"),
    ],
)
def test_a_file_that_is_none_is_refused(plain: Path, tmp_path: Path, content: bytes, says: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(plain, broken)
    (broken / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigurationError, match=says):
        Model2VecEmbedder(broken)


def test_a_transformer_is_no_static_model(tmp_path: Path) -> None:
    tensors = {"encoder.layer.0.weight": np.zeros((4, 4), dtype=np.float32)}
    with pytest.raises(ConfigurationError, match="no static model"):
        Model2VecEmbedder(model(tmp_path / "transformer", tensors))
