"""Attributes that have one value at a time, and the words by which a statement gives them one.

What can have several values at once (tastes, kin, places visited, hobbies) is left out on purpose: a new value does
not end an old one. Patterns are matched against lower-case text and every repetition in them is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tiered_memory.scoring.text import analyze


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: `topic` are index terms that hint at it, `states` a pattern that gives it a value.

    The pattern is only tried on texts with one of `topic` or `gate`: terms that may give a value but hint at nothing.
    `several`: one has it of several things at once, so that two statements have to name the same thing.
    """

    name: str
    topic: frozenset[str]
    states: re.Pattern[str]
    gate: frozenset[str] = frozenset()
    several: bool = False


def _attribute(name: str, topic: str, states: str, *, gate: str = "", several: bool = False) -> Attribute:
    hinting, opening = (frozenset(analyze(words).terms) for words in (topic, gate))
    return Attribute(name, hinting, re.compile(states), opening - hinting, several)


_HOME = r"(?:flat|apartment|house|studio|condo|loft|townhouse|bungalow|dorm|room|place|cottage)"
_JOB = (
    r"(?:nurse|doctor|teacher|accountant|engineer|developer|programmer|designer|manager|cook|chef|waiter|waitress|barista|driver"
    r"|lawyer|attorney|consultant|analyst|scientist|researcher|student|freelancer|director|architect|salesperson|sales rep|receptionist"
    r"|assistant|plumber|electrician|carpenter|mechanic|pharmacist|dentist|therapist|journalist|editor|writer|photographer|translator"
    r"|librarian|baker|farmer|pilot|firefighter|police officer|soldier|professor|tutor|intern|trainee|clerk|cashier|administrator"
    r"|coordinator|supervisor|technician|veterinarian|vet|paralegal|recruiter|marketer|copywriter|producer|musician|artist|coach|trainer"
    r"|ceo|cto|cfo|founder|principal|[a-z]{2,12} lead|lead [a-z]{3,12}|head of [a-z]{2,12})"
)
_COMPANION = r"(?:boyfriend|girlfriend|husband|wife|partner|fianc[e\u00e9]e?|spouse)"
_PET = r"(?:dog|puppy|cat|kitten|rabbit|hamster|parrot|retriever|labrador|poodle|terrier|beagle|tabby|guinea pig|tortoise|turtle|pet|goldfish|budgie)"

_TOOLS = {
    "database": "mongodb mongo postgresql postgres mysql mariadb sqlite oracle dynamodb cassandra couchdb redis clickhouse bigquery snowflake"
    " redshift cockroachdb neo4j elasticsearch opensearch duckdb supabase",
    "language": "python java kotlin swift golang rust ruby php perl scala elixir typescript javascript haskell cobol",
    "framework": "react angular vue svelte django flask fastapi rails laravel spring nextjs flutter electron express nestjs ember",
    "operating system": "windows linux ubuntu debian fedora macos centos arch android ios",
    "cloud": "aws azure gcp heroku vercel netlify digitalocean hetzner cloudflare onprem linode",
    "chat tool": "slack teams discord zoom skype mattermost telegram whatsapp signal webex",
    "build tool": "jenkins travis circleci gitlab github bitbucket teamcity bazel gradle maven webpack vite",
    "queue": "kafka rabbitmq sqs nats pulsar celery zeromq",
    "tracker": "jira trello asana linear notion clickup basecamp",
    "editor": "vim neovim emacs vscode helix sublime pycharm intellij eclipse atom",
}

ATTRIBUTES = (
    _attribute(
        "residence",
        "live living reside flat apartment house studio condo home town city neighborhood lease key truck place basement address relocate unpack settle rent move lease",
        r"\b(?:liv(?:e|es|ing)|resid(?:e|es|ing)|based|settled|settling|stay(?:s|ing)?|dwell\w*)\b(?: [\w']+){0,4}? (?:in|at|on|near|into|with|alone|by)\b"
        r"|\blive (?:alone|now)\b|\b(?:moved|moving|relocat(?:ed|ing|es)|move)\b(?: [\w']+){0,5}? (?:to|into|in|back|out|across|here)\b"
        r"|\bmoved [a-z]+\b|\bmoved in\b|\bunpack(?:ed|ing)\b|\b(?:home is|(?:is|'s|it's) (?:our |my )?home|call(?:ing|s)? [\w ]{1,20} home)\b"
        rf"|\b(?:new|our|my|rent(?:s|ed|ing)?|bought|found|got|signed|small|own|share|sharing)\b(?: [\w']+){{0,4}}? {_HOME}\b(?: [\w']+){{0,2}}? (?:in|near|on|at|by)\b"
        rf"|\b{_HOME} (?:is |was |are )?(?:now )?(?:in|on|at|near)\b|\b(?:signed|got) (?:the|a|our|my) (?:lease|keys)\b|\blease\b"
        r"|\b(?:been|am|are|i'm|we're) (?:here )?in [a-z]+ (?:for|since|now)\b|\bmoving truck\b|\bshar(?:es?|ing) an? \w+|\bchanged? (?:house|flat|home)\b"
        r"|\b(?:my|our|new) (?:home )?address\b|^address\b|\bkeys to (?:the|our|my)\b|\b(?:our|my) (?:new )?(?:neighbou?rhood|hometown now)\b",
        gate="stay settle moved in here signed bought",
    ),
    _attribute(
        "employment",
        "work job employ employer company firm office career position role hire join quit resign retire boss profession colleague shift promote"
        " manager engineer nurse accountant teacher developer designer cook chef waiter driver lawyer consultant analyst student teach unemployed badge career leave",
        r"\bwork(?:s|ing)?\b(?: [\w']+){0,3}? (?:at|for|with|in|as)\b|\b(?:i'm|i am|am|is|he's|she's|became|become|as) (?:now |currently )?(?:an? |the )?(?:[\w-]+ ){0,2}?"
        rf"{_JOB}\b|\b(?:start(?:ed|ing|s)?|began|begin) (?:(?:at|with|as) |work(?:ing)?\b|(?:a|my|the) (?:new )?(?:job|position|role)\b)|\b(?:hired|employed|promoted|transferred)\b(?: [\w']+){{0,3}}? (?:at|by|to|as|with)\b"
        r"|\bjoined\b|\b(?:new|my|the|first|his|her) (?:job|position|role|employer|gig|career|title)\b|\b(?:quit (?:my|the|his|her|our|their|as|at)|resigned|retired|laid off|got fired|handed in)\b"
        r"|\b(?:opened|runs?|running|started|owns?) (?:an? |my |our |her |his |own )+(?:[\w-]+ )?(?:bakery|shop|caf[e\u00e9]|business|company|startup|practice|studio|restaurant|agency|firm)\b"
        r"|\bfirst day (?:at|as|in|with)\b|\b(?:un)?employed\b|\bpromoted\b|\b(?:offered me|accepted|landed)\b|\bback at work\b|\b(?:maternity|parental|sick) leave\b"
        r"|\bjob\b|\bemployer\b|\bteach(?:es|ing)?\b|\bleft teaching\b|\bfreelanc",
        gate="fired laid freelance offered landed accepted opened runs started began first transferred promoted maternity parental sick handed",
    ),
    _attribute(
        "relationship",
        "single marry married engaged engagement divorce date dating boyfriend girlfriend husband wife partner fiance together relationship"
        " breakup split spouse wedding propose couple separate",
        r"\b(?:single|married|engaged|divorced?|separated|widowed|dating|popped the question|seeing (?:someone|each|[a-z]+ now)|in a relationship|newlyweds?)\b"
        r"|\bended (?:things|it)\b|\b(?:together (?:for|since)|(?:are|is|been) together|(?:broke|split|breaking|breakup) (?:up|with)|broken up|called off|said yes|proposed|tied the knot|got married|eloped)\b"
        rf"|\bmy {_COMPANION}(?:'s)? (?:name|is)\b|\b(?:new|ex) ?-?{_COMPANION}\b|\b(?:has|have|got) an? (?:new )?{_COMPANION}\b|\b(?:is with|am with|with \w+ is finish)\b",
        gate="ended broke popped yes called eloped newlywed widowed knot finish",
    ),
    _attribute(
        "diet",
        "vegan vegetarian meat fish pescatarian diet eat eating gluten dairy keto carnivore pork chicken halal kosher plant sugar",
        r"\b(?:vegan|vegetarian|pescatarian|flexitarian|keto|paleo|gluten[- ]free|plant[- ]based|carnivore|omnivore|low[- ]carb|halal|kosher)\b"
        r"|\b(?:eat|eats|eating|ate)\b(?: [\w']+){0,4}? (?:meat|fish|chicken|pork|beef|eggs|dairy|sugar|gluten|vegetables?|bread|carbs|animal)\b"
        r"|\b(?:off|no|quit|stopped|dropped|gave up|cut out|without) (?:eating )?(?:meat|fish|dairy|sugar|gluten|pork|carbs)\b",
        gate="eat stopped dropped",
    ),
    _attribute(
        "commute",
        "commute drive train bus bike cycle metro tram subway walk car office work ride carpool",
        r"\b(?:commut\w+|(?:go|get|gets|come|drive|drives|bike|bikes|cycle|cycles|walk|walks|ride|rides|train|bus|metro|tram|subway|car|bicycle|scooter|tube|ferry)"
        r"(?: [\w']+){0,5}? to (?:the |my |his |her )?(?:work|office|campus|school|uni|job))\b"
        r"|\b(?:take|takes|taking|by|ride|riding|use|with|on) (?:the )?(?:train|bus|metro|tram|subway|bike|car|tube|ferry|bicycle|scooter|e-bike)\b",
    ),
    _attribute(
        "phone number",
        "phone number call reach mobile cell provider text",
        r"\b(?:number|phone|cell|mobile|reach|call|text|whatsapp|tel)\b.{0,60}?\+?\d[\d -]{5,}",
    ),
    _attribute("email", "email mail address inbox", r"\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.]{2,32}"),
    _attribute(
        "pet",
        "dog cat kitten puppy pet adopt rabbit hamster parrot retriever vet",
        rf"\b(?:have|has|our|my|got|adopted|brought|own|owns|rescued|a|the|no)\b(?: [\w']+){{0,4}}? {_PET}\b",
    ),
    _attribute(
        "car",
        "car drive vehicle trade golf mazda toyota tesla honda ford bmw audi volvo fiat renault skoda subaru truck suv van",
        r"\b(?:driv(?:e|es|ing)|traded in|leas(?:e|es|ing)) (?:an? |the |my )(?:[\w-]+ ){0,3}?\w+\b|\b(?:my|our|new|the|his|her) (?:[\w-]+ )?(?:car|truck|suv|van)\b|^car\b",
    ),
    _attribute(
        "school",
        "school grade kindergarten class college university attend enroll academy elementary campus montessori",
        r"\b(?:at|to|in|attends?|attending|enrolled|changed to|transferred to|switched (?:over )?to|goes to) (?:[\w'-]+ ){0,5}?(?:school|academy|elementary|kindergarten|college|university|high|montessori|gymnasium)\b",
    ),
    _attribute(
        "field of study",
        "study major course degree university college student bachelor master program learn",
        r"\b(?:stud(?:y|ies|ying)|major(?:s|ing|ed)? in|degree in|enrolled in|student of|course|accepted into)\b",
    ),
    _attribute(
        "manager",
        "manager boss report supervise supervisor lead leader head team",
        r"\b(?:report(?:s|ing)? to|(?:my|our|new|the) (?:[\w-]+ )?(?:manager|boss|supervisor|team lead|lead|director)\b|supervis(?:es|ed|or)\b|leads? (?:the|our|my)\b)|^(?:team )?lead\b|^boss\b|\bmanager\b",
    ),
    _attribute(
        "dosage",
        "mg dose dosage pill tablet medication medicine drop unit ml mcg",
        r"\b\d+(?:[.,]\d+)? ?(?:mg|mcg|ug|ml|iu|units?|pills?|tablets?|drops)\b",
        several=True,
    ),
    _attribute(
        "favourite",
        "favorite favourite prefer best",
        r"\b(?:favou?rites?|fave|go-to|number one|all-time|prefer(?:s|red)?)\b",
        several=True,
    ),
    _attribute(
        "age",
        "age old birthday turn year",
        r"\b(?:i'm|i am|is|he's|she's|turn(?:s|ed)?) \d{1,3}(?: years? old)?(?=[.,!]|$| (?:now|today|years?))",
    ),
    _attribute(
        "salary",
        "salary raise pay wage earn income",
        r"\b(?:salary|raise|earn(?:s|ing)?|wages?|income|(?:paid|make) \$?\d)\b",
    ),
    _attribute(
        "smoking",
        "smoke cigarette vape nicotine tobacco pack",
        r"\b(?:smok(?:e|es|ing|ed)|cigarettes?|vap(?:e|es|ing)|nicotine)\b",
    ),
    _attribute(
        "expecting",
        "pregnant due baby birth born expect girl boy trimester",
        r"\b(?:pregnant|expecting|due (?:in|date)|baby (?:is|was)|had (?:her|the|our|a) baby|gave birth|is born|was born)\b",
    ),
    _attribute(
        "bank",
        "bank account credit money",
        r"\b(?:money (?:is |lives )?(?:at|with|in)|bank(?:ing)? (?:with|at|is)|my bank|bank account|account (?:is|moved|at|with)|^bank)\b",
    ),
    _attribute(
        "insurance",
        "insurance insurer policy cover premium",
        r"\b(?:health |car |dental |home )?insur(?:ance|ed|er)\b",
        several=True,
    ),
    _attribute(
        "phone",
        "phone iphone android samsung pixel galaxy smartphone",
        r"\b(?:iphone|pixel|galaxy|samsung|oneplus|fairphone|smartphone|phone|huawei|xiaomi|nokia)\b",
    ),
    *(
        _attribute(name, members, rf"\b(?:{'|'.join(members.split())})\b", several=True)
        for name, members in _TOOLS.items()
    ),
    _attribute(
        "status",
        "status block hold progress done complete ship launch cancel approve pause resume fund ready finish pending",
        r"\b(?:on hold|blocked|unblocked|paused|resum(?:es|ed)|in progress|completed?|cancel(?:l?ed)|approved|signed off|shipped|launched|delayed|pending|rejected|funded|live|done|off until|taking place|finished|merged|deprecated|archived)\b",
        several=True,
    ),
)
"""Ordered: where several apply, the first names the judgement."""


def _index() -> Mapping[str, tuple[Attribute, ...]]:
    found: dict[str, tuple[Attribute, ...]] = {}
    for attribute in ATTRIBUTES:
        for term in attribute.topic | attribute.gate:
            found[term] = (*found.get(term, ()), attribute)
    return found


BY_TERM = _index()
"""The attributes whose patterns are tried on a text with this index term."""

TOOLS = frozenset(_TOOLS)
"""Attributes whose values are products by name."""

OF_SEVERAL = {one.name: one.topic for one in ATTRIBUTES if one.several}
"""Attributes one has of several things at once, and their topics, which name none of these things."""

ROLES = frozenset(
    analyze(
        "doctor dentist therapist plumber electrician landlord landlady babysitter sitter nanny coach teacher trainer"
        " manager boss lead supervisor accountant lawyer agent contact owner captain hairdresser barber cleaner"
        " mechanic vet tutor roommate flatmate mentor president ceo editor host gardener partner gp physio"
    ).terms
)
"""People one usually has one of."""
