"""Plausible messages and questions from a seed: a small grammar over a vocabulary of its own."""

# ruff: noqa: SIM905 - prose wraps better than a list

from __future__ import annotations

import random
from collections.abc import Iterator

PEOPLE = (
    "Amara Bilal Carmen Dmitri Elif Farid Greta Hanna Idris Jonas Keiko Leila Mateo Nadia Oskar Priya Quentin Rosa "
    "Stefan Tamar Ulla Viktor Wanda Ximena Yusuf Zofia Anders Beatriz Cyrus Dalia Emeka Freya Gustavo Hiroko Imani"
).split()
PLACES = (
    "Lisbon Utrecht Tampere Graz Leeds Cork Porto Riga Ghent Malmo Bergen Turin Nantes Krakow Split Basel Aarhus "
    "Vilnius Bilbao Dresden Odense Trieste Lyon Brno Galway Uppsala Cadiz Leiden Bath Gdansk"
).split()
THINGS = (
    "invoice import|billing export|search page|login form|nightly backup|payment gateway|mobile client|audit report|"
    "order queue|stock forecast|pricing table|support inbox|onboarding guide|warehouse scanner|route planner|"
    "customer survey|data pipeline|feature flag|release branch|error budget|staging cluster|message broker|"
    "image resizer|tax calculator|delivery tracker|sales dashboard|access log|password reset|session store|"
    "translation file|design review|kitchen renovation|piano lesson|garden fence|school play|cycling trip|"
    "bread recipe|chess club|dentist appointment|birthday dinner|photo album|hiking boots|reading group|"
    "camping weekend|language course|pottery class|moving van|second-hand bike|concert ticket|running shoes"
).split("|")
DEEDS = (
    "moved|rewrote|postponed|cancelled|tested|approved|broke|repaired|measured|reviewed|ordered|returned|shared|"
    "renamed|archived|simplified|documented|restarted|compared|migrated|booked|painted|cleaned|sold|borrowed"
).split("|")
REASONS = (
    "because the old one kept failing|since the budget ran out|after the customer complained|to save some time|"
    "before the holidays begin|as nobody had looked at it|so that the team can go on|because it rained all week|"
    "after a long talk on the phone|while the others were away|to make room for the new one|since it was cheaper"
).split("|")
MOODS = (
    "honestly it went better than expected|I am still a little worried about it|it felt like a small victory|"
    "nobody seemed to mind|that took far too long|I would do it again|the rest can wait|it was quite a surprise"
).split("|")
WHENS = (
    "yesterday|last week|on Monday|this morning|in March|two days ago|before lunch|on Friday evening|next month|"
    "in early autumn|over the weekend|last summer"
).split("|")
SYLLABLES = "ba den fil gor hal jun kel lor mar nex or pel qui ras sol tun ver wix yan zet".split()
MEAN_LOG, DEVIATION_LOG, MOST_SENTENCES = 0.6, 0.6, 12


class Writer:
    """Writes an endless variety of texts; the same seed gives the same texts.

    A message has a log-normal number of sentences (median 2, at most 12), about 25 words in the mean.
    """

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def messages(self, count: int) -> list[str]:
        """Return `count` (>= 0) messages."""
        return [self.message() for _ in range(count)]

    def questions(self, count: int) -> list[str]:
        """Return `count` (>= 0) questions of 7 to 12 words, most of which some message may answer."""
        return [self.question() for _ in range(count)]

    def message(self) -> str:
        """Return one message."""
        sentences = min(MOST_SENTENCES, max(1, round(self._draw.lognormvariate(MEAN_LOG, DEVIATION_LOG))))
        return " ".join(self._sentences(sentences))

    def question(self) -> str:
        """Return one question."""
        any_of = self._draw.choice
        return any_of(
            (
                f"What did {any_of(PEOPLE)} say about the {any_of(THINGS)} in {any_of(PLACES)}?",
                f"Why was the {any_of(THINGS)} {any_of(DEEDS)} {any_of(WHENS)}?",
                f"Who {any_of(DEEDS)} the {any_of(THINGS)} with {any_of(PEOPLE)}?",
                f"How long does the {self._name()} step of the {any_of(THINGS)} take?",
            )
        )

    def _sentences(self, count: int) -> Iterator[str]:
        for _ in range(count):
            yield self._sentence()

    def _sentence(self) -> str:
        any_of = self._draw.choice
        thing, person = any_of(THINGS), any_of(PEOPLE)
        return any_of(
            (
                f"{person} {any_of(DEEDS)} the {thing} {any_of(WHENS)} {any_of(REASONS)}.",
                f"We decided to keep the {thing} in {any_of(PLACES)} {any_of(REASONS)}.",
                f"My plan for the {thing}: ask {person}, then see {any_of(WHENS)}.",
                f"The {self._name()} step of the {thing} takes {self._draw.randint(2, 900)} minutes now.",
                f"{person} and I {any_of(DEEDS)} it in {any_of(PLACES)}, and {any_of(MOODS)}.",
                f"I prefer the {thing} that {person} {any_of(DEEDS)} {any_of(WHENS)}.",
            )
        )

    def _name(self) -> str:
        """A name from a long tail, as products and projects have."""
        return "".join(self._draw.choice(SYLLABLES) for _ in range(self._draw.randint(2, 3))).capitalize()
