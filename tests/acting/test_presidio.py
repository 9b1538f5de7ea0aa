"""The bridge to Presidio, with the library itself; its models are not needed for what its patterns find."""

from __future__ import annotations

from pathlib import Path

import pytest
from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from spacy import blank
from support import consenting, opened

from tiered_memory.integrations.presidio_recogniser import PresidioRecogniser
from tiered_memory.policy.pii_types import PiiType

pytestmark = pytest.mark.anyio
MASKS = 'schema = 1\nname = "masks"\n[pii]\ninternal = "mask"\n'


class WithoutModel(SpacyNlpEngine):
    """Splits words and knows nothing of them: enough for recognisers that go by patterns."""

    def __init__(self) -> None:
        super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
        self.nlp = {"en": blank("en")}

    def load(self) -> None:
        """There is nothing to load."""

    def is_loaded(self) -> bool:
        return True


@pytest.fixture(scope="module")
def presidio() -> PresidioRecogniser:
    registry = RecognizerRegistry(supported_languages=["en"])
    names = Pattern("two of a family", r"\b(?:Ada|Anne) (?:Lovelace|Byron)\b", 0.9)
    code = Pattern("desk", r"\bdesk-\d+\b", 0.9)
    registry.add_recognizer(PatternRecognizer("PERSON", patterns=[names]))
    registry.add_recognizer(PatternRecognizer("DESK", patterns=[code]))
    return PresidioRecogniser(
        AnalyzerEngine(nlp_engine=WithoutModel(), registry=registry, supported_languages=["en"])
    )


async def test_what_it_finds_has_our_names_and_the_rest_is_left_alone(presidio: PresidioRecogniser) -> None:
    [span] = await presidio.find("desk-12 is Ada Lovelace's")
    assert (span.start, span.end, span.type, span.recogniser) == (11, 23, PiiType.PERSON, "presidio")


async def test_names_are_masked_and_keep_their_placeholder(
    tmp_path: Path, presidio: PresidioRecogniser
) -> None:
    policy = tmp_path / "masks.toml"
    policy.write_text(MASKS)
    settings = {"policy": str(policy)}
    async with opened(tmp_path / "data", settings=settings, recogniser=presidio) as memory:
        user = await consenting(memory)
        receipt = await user.add("Ada Lovelace met Anne Byron, mail a@mail.example", importance=0.9)
        assert (await user.get(receipt.id)).content == "<PERSON_1> met <PERSON_2>, mail <EMAIL_1>"
        hits = await user.search("who met Anne Byron?", limit=1)
        assert hits[0].memory.id == receipt.id
