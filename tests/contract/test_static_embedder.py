from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.embedding import static_embedder
from tiered_memory.embedding.base import Embedder
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import ConfigurationError, InvalidInputError

pytestmark = pytest.mark.anyio

GOLDENS = json.loads((Path(__file__).parents[1] / "golden" / "static_embedder.json").read_text("utf-8"))
MODEL = Path(static_embedder.__file__).parent / "model"
SHARED = StaticEmbedder()
words = st.lists(
    st.sampled_from(
        ["tea", "trains", "Malmö", "42", "rotate", "keys", "绿茶", ",", "concise", "?!", "Zoë's"]
    ),
    max_size=30,
).map(" ".join)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def vector(text: str) -> np.ndarray:
    return SHARED.embed_now([text])[0]


# --- the vectors are model2vec's -----------------------------------------------------------------------------


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden["text"][:24])
def test_int8_sum_points_where_the_float_model_points(golden: dict) -> None:
    assert cosine(vector(golden["text"]), np.array(golden["vector"])) >= 0.9995


def test_a_sum_is_the_float_models_mean_times_the_number_of_tokens() -> None:
    mean = np.array(GOLDENS[0]["vector"])
    tokens = ["i", "prefer", "con", "##cise", "answers", "."]
    np.testing.assert_allclose(vector(GOLDENS[0]["text"]), mean * len(tokens), atol=0.05)


def test_meaning_orders_texts() -> None:
    question = vector("What does she like to drink?")
    assert cosine(question, vector("Her favourite beverage is tea")) > cosine(
        question, vector("The build failed on the staging cluster")
    )


# --- sums ----------------------------------------------------------------------------------------------------


@given(words, words)
def test_the_vector_of_two_texts_is_the_sum_of_their_vectors(first: str, second: str) -> None:
    np.testing.assert_allclose(vector(f"{first} {second}"), vector(first) + vector(second), atol=1e-3)


def test_a_text_too_long_for_the_short_path_is_the_sum_of_its_parts() -> None:
    sentence = "The keys were rotated on 3 September without downtime. "
    np.testing.assert_allclose(vector(sentence * 1000), vector(sentence) * 1000, rtol=1e-3, atol=0.5)


def test_the_last_word_of_a_100_kb_text_counts() -> None:
    text = "tea " * 25_000
    np.testing.assert_allclose(vector(f"{text}zebra") - vector(text), vector("zebra"), atol=0.1)


def test_a_long_word_list_is_summed_whole() -> None:
    distinct = [f"{word}{number}" for number in range(600) for word in ("tea", "train", "key")]
    np.testing.assert_allclose(
        vector(" ".join(distinct)), SHARED.embed_now(distinct).sum(axis=0), rtol=1e-4, atol=0.05
    )


# --- shape, type, determinism --------------------------------------------------------------------------------


def test_it_is_an_embedder() -> None:
    assert isinstance(SHARED, Embedder)
    assert SHARED.dimensions == 256


@pytest.mark.parametrize("count", [0, 1, 64, 65, 3000])
async def test_shape_and_type(count: int) -> None:
    vectors = await SHARED.embed(["a cup of tea"] * count)
    assert vectors.shape == (count, 256)
    assert vectors.dtype == np.float32


async def test_queries_and_documents_share_one_space() -> None:
    text = ["a cup of tea"]
    np.testing.assert_array_equal(await SHARED.embed(text, "query"), await SHARED.embed(text, "document"))


@given(st.lists(words, min_size=1, max_size=5))
def test_the_same_text_has_the_same_bits_alone_and_in_any_batch(texts: list[str]) -> None:
    alone = np.stack([vector(text) for text in texts])
    np.testing.assert_array_equal(SHARED.embed_now(texts), alone)
    np.testing.assert_array_equal(SHARED.embed_now(texts + ["padding"] * 64)[: len(texts)], alone)


def test_a_batch_larger_than_one_portion_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"message {number}" for number in range(200)]
    whole = SHARED.embed_now(texts)
    monkeypatch.setattr(static_embedder, "_PORTION_CHARACTERS", 50)
    np.testing.assert_array_equal(SHARED.embed_now(texts), whole)


def test_another_instance_gives_the_same_bits() -> None:
    np.testing.assert_array_equal(
        StaticEmbedder().embed_now(["concise answers"])[0], vector("concise answers")
    )


# --- odd texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " \n\t", "\0", "🙂🙂", "x" * 101, "\ud800"])
def test_a_text_without_known_tokens_has_the_zero_vector(text: str) -> None:
    assert not vector(text).any()


def test_unknown_words_add_nothing() -> None:
    np.testing.assert_array_equal(vector("green 🙂 tea"), vector("green tea"))


@pytest.mark.parametrize(
    ("odd", "plain"),
    [
        ("Café", "cafe"),
        ("te\0a", "tea"),
        ("te\ud800a", "tea"),
        ("tea\u00a0train", "tea train"),
        ("绿茶", "绿 茶"),
    ],
)
def test_spellings_that_mean_the_same(odd: str, plain: str) -> None:
    np.testing.assert_array_equal(vector(odd), vector(plain))


def test_special_token_names_are_ordinary_text() -> None:
    np.testing.assert_array_equal(vector("[PAD] [UNK]"), vector("[ pad ] [ unk ]"))


@given(st.text(max_size=300))
def test_any_text_has_a_finite_vector(text: str) -> None:
    assert np.isfinite(vector(text)).all()


@pytest.mark.parametrize(
    "text", ["tea " * 25_000, "a" * 100_000, "绿茶" * 16_667, "." * 100_000, "🙂" * 25_000]
)
async def test_100_kb_texts(text: str) -> None:
    vectors = await SHARED.embed([text])
    assert vectors.shape == (1, 256)
    assert np.isfinite(vectors).all()


def test_a_single_string_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        SHARED.embed_now("not a list")


# --- identity and loading ------------------------------------------------------------------------------------


def test_the_shipped_models_identity() -> None:
    assert SHARED.name == "static-minilm-256-int8-v1-eaebe7f5"


def test_the_configuration_describes_the_files() -> None:
    config = json.loads((MODEL / "config.json").read_text("utf-8"))
    codes = np.load(MODEL / "codes.npy")
    assert codes.shape == (config["vocabulary_size"], config["dimensions"])
    assert codes.dtype == np.int8
    assert {path.name for path in MODEL.iterdir()} == {
        *config["sha256"],
        "config.json",
        "related.npz",
        "NOTICE",
    }


@pytest.fixture
def copied_model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


def change_a_code(model: Path) -> str:
    codes = np.load(model / "codes.npy")
    codes[1000, 0] ^= 1
    np.save(model / "codes.npy", codes)
    return hashlib.sha256((model / "codes.npy").read_bytes()).hexdigest()


def test_a_copied_model_has_the_same_identity(copied_model: Path) -> None:
    assert StaticEmbedder(copied_model).name == SHARED.name


def test_another_matrix_is_another_identity(copied_model: Path) -> None:
    config = json.loads((copied_model / "config.json").read_text("utf-8"))
    config["sha256"]["codes.npy"] = change_a_code(copied_model)
    (copied_model / "config.json").write_text(json.dumps(config), "utf-8")
    embedder = StaticEmbedder(copied_model)
    assert embedder.embed_now(["tea"]).any()
    assert embedder.name != SHARED.name


def test_a_damaged_matrix_is_refused(copied_model: Path) -> None:
    change_a_code(copied_model)
    with pytest.raises(ConfigurationError, match=r"codes\.npy"):
        StaticEmbedder(copied_model).embed_now(["tea"])


@pytest.mark.parametrize("name", ["codes.npy", "scales.npy", "tokenizer.json"])
def test_a_missing_file_is_refused(copied_model: Path, name: str) -> None:
    (copied_model / name).unlink()
    with pytest.raises(ConfigurationError, match=name):
        StaticEmbedder(copied_model).embed_now(["tea"])


@pytest.mark.parametrize("content", [None, "{", '{"name": "x"}'])
def test_a_directory_without_a_usable_configuration_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigurationError):
        StaticEmbedder(tmp_path)


def test_threads_load_the_table_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Path] = []
    load = static_embedder._load
    gate = threading.Barrier(4)

    def counted_load(directory: Path, digests: dict[str, str]) -> static_embedder._TokenTable:
        loads.append(directory)
        return load(directory, digests)

    def use(embedder: StaticEmbedder) -> np.ndarray:
        gate.wait()
        return embedder.embed_now(["tea"])

    monkeypatch.setattr(static_embedder, "_load", counted_load)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(use, [StaticEmbedder()] * 4))
    assert len(loads) == 1
    assert all(np.array_equal(result, results[0]) for result in results)


async def test_the_first_use_inside_an_event_loop_loads_in_a_worker_thread() -> None:
    embedder = StaticEmbedder()
    loop_thread = threading.get_ident()
    used: list[int] = []
    embed_now = embedder.embed_now

    def noting_thread(texts: list[str]) -> np.ndarray:
        used.append(threading.get_ident())
        return embed_now(texts)

    embedder.embed_now = noting_thread  # type: ignore[method-assign]
    await embedder.embed(["tea"])
    await embedder.embed(["tea"])
    await embedder.embed(["tea"] * 65)
    await embedder.embed(["tea " * 5000])
    assert [thread == loop_thread for thread in used] == [False, True, False, False]


LOADING_PROBE = """
import socket, sys
def refuse(*args, **kwargs): raise AssertionError("network used")
socket.socket.connect = socket.getaddrinfo = refuse
from tiered_memory.embedding.static_embedder import StaticEmbedder
embedder = StaticEmbedder()
assert "tokenizers" not in sys.modules, "loaded too early"
assert embedder.embed_now(["tea"] * 100).any()
heavy = {"torch", "model2vec", "safetensors", "transformers", "huggingface_hub"} & sys.modules.keys()
assert not heavy, heavy
"""

FORK_PROBE = """
import os, signal, sys
from tiered_memory.embedding.static_embedder import StaticEmbedder
embedder = StaticEmbedder()
embedder.embed_now(["tea"] * 100)
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(0 if embedder.embed_now(["tea"] * 100).any() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

PARALLELISM_PROBE = """
import os
from tiered_memory.embedding.static_embedder import StaticEmbedder
StaticEmbedder().embed_now(["tea"])
print(os.environ["TOKENIZERS_PARALLELISM"])
"""


def run(probe: str, **environment: str) -> tuple[int, str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", probe]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=inherited | environment
    )
    return done.returncode, done.stdout.strip(), done.stderr


def test_it_loads_lazily_without_network_or_framework() -> None:
    assert run(LOADING_PROBE) == (0, "", "")


def test_a_forked_child_can_embed_and_nothing_is_said_about_it() -> None:
    assert run(FORK_PROBE) == (0, "", "")


def test_the_tokenizers_thread_pool_is_off_unless_the_user_chose_it() -> None:
    assert run(PARALLELISM_PROBE) == (0, "false", "")
    assert run(PARALLELISM_PROBE, TOKENIZERS_PARALLELISM="true") == (0, "true", "")
