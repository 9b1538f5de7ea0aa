"""Words and phrases that tell what sort of statement a text is. English; other languages pass by unharmed.

Patterns are matched against lower-case text unless said otherwise, and every repetition in them is bounded.
"""

from __future__ import annotations

import re

WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|\n+|[\u3002\uff01\uff1f]")

ACKNOWLEDGEMENT_WORDS = 12
SMALL_TALK_WORDS = 40
GENERIC_QUESTION_WORDS = 16
FILLER_WORDS = 60


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


FIRST_PERSON = _set(
    "i i'm i've i'd i'll im ive my me mine myself we we're we've we'd we'll our ours us ourselves"
)
PERSONS = FIRST_PERSON | _set(
    "he she him her his hers they them their he's she's they're wife husband mother father mom mum dad sister "
    "brother son daughter friend friends family boss manager colleague team client customer girlfriend boyfriend "
    "partner kids grandma grandpa aunt uncle cousin"
)
TIMES = _set(
    "yesterday today tonight tomorrow monday tuesday wednesday thursday friday saturday sunday january february "
    "april june july august september october november december weekend week weeks month months year years ago "
    "last next recently soon morning evening birthday anniversary summer winter autumn spring deadline o'clock"
)
EVENTS = _set(
    "went visited bought started finished joined moved met married born graduated attended signed won lost adopted "
    "planned planning decided learned tried painted made built wrote read ran hiked traveled travelled volunteered "
    "hired fired quit promoted launched shipped deployed migrated switched released upgraded fixed passed applied "
    "enjoy enjoyed love loved hate hated prefer preferred favorite favourite hope dream goal works working live "
    "lives studying allergic vegetarian vegan engaged pregnant named called took gave got been"
)
MID_SENTENCE_NAME = re.compile(r"(?<=[a-z0-9,;:&] )[A-Z][A-Za-z0-9]+")
"""Matched against the text as written."""
NO_NAMES = _set(
    "I I'm I've I'd I'll Im OK Ok The A And But So Oh It Monday Tuesday Wednesday Thursday Friday"
)
ADDRESSED_NAME = re.compile(
    r"(?:^|[.!?]\s{1,3})(?:[Hh]ey|[Hh]i|[Hh]ello|[Tt]hanks|[Tt]hank you|[Ww]ow|[Yy]eah|[Yy]ep|[Yy]es|[Oo]h|[Cc]ongrats|[Bb]ye"
    r"|[Ss]ure|[Ww]elcome),? ([A-Z][a-z]{1,30})(?![\w'])"
    r"|, ([A-Z][a-z]{1,30})(?=[.!?]|$)"
)
"""Somebody spoken to rather than of. Matched against the text as written."""
ADDRESS = _set("you your you're you've you'll you'd yours yourself")
CHEER = _set(
    "wow awesome amazing great proud congrats congratulations luck glad cool definitely absolutely totally inspiring "
    "encouragement appreciate thanks thank agree incredible fantastic wonderful nice good"
)
UPLIFT = _set(
    "support strength positive motivated motivating inspire inspires inspired inspiring journey passion challenges "
    "challenge growth dreams hope believe stay strong keep keeps difference means worries moments special happiness joy "
    "peace energy amazing mind impact together"
)
"""Words of encouragement and outlook, which fit any talk and so tell little of this one."""
POSSIBLE = _set("can could would should might must may will let let's lets")
OWN = _set("my our mine ours")
CIRCUMSTANCES = _set("after before while during since because when another next also")
PAST = _set(
    "was were had did got went made took gave came saw found felt told said met won lost bought built began left ran "
    "wrote read sent spent taught thought used"
)

# --- what must be kept -----------------------------------------------------------------------------------------

REMEMBER_TRIGGERS = _set("remember forget mind note reference memorize memorise")
_WHAT = r",? (?:that|this|to|my|our|i|i'm|we|not)\b|:"
REMEMBER = re.compile(
    rf"(?:^|[.!;,:\n-]\s{{0,3}}|\b(?:please|and|but|so|also)\s)(?:always )?remember(?:{_WHAT})(?! (?:time|day|feeling)\b)"
    rf"|\b(?:don't|do not) forget(?:{_WHAT})"
    r"|\b(?:please|should|must|also) (?:keep|bear|note)\b.{0,40}?(?:\bin mind\b|\bthat\b|:)"
    r"|(?:^|[.!\n]\s{0,3})(?:keep|bear) (?:in mind|this in mind|that in mind)\b"
    r"|(?:^|[.!\n]\s{0,3})(?:note that|note:|make a note)"
    r"|\bfor (?:future|your) reference\b|\bmemori[sz]e (?:that|this|my)\b"
)

PREFERENCE_TRIGGERS = _set(
    "prefer always never favorite favourite rather allergic vegetarian vegan call hate don't stand only"
)
_VERY = r"(?:really |strongly |much |generally |usually |still |also |almost |would |do |just ){0,2}"
_NO_HABIT = (
    r"(?! (?:been|dream(?:ed|t)?|expect(?:ed)?|feel|felt|give up|had|heard|imagined|knew|look forward|saw|seen"
    r"|thought|tr(?:y|ied)|wanted)\b)"
)
PREFERENCE = re.compile(
    rf"\b(?:i|we)(?:'d)? {_VERY}(?:prefer|(?:always|never){_NO_HABIT}|hate|only (?:use|eat|drink|want|like|work))\b"
    r"|\b(?:i'd|i would|we'd) (?:much )?rather\b"
    r"|\bmy (?:(?:all-time|personal|absolute) )?favou?rite\b.{1,60}?\b(?:is|are|was)\b"
    r"|\b(?:i|we) (?:don't|do not|can't|cannot) (?:ever |really )?(?:eat|drink|use|like|stand|want)\b"
    r"|\b(?:i'm|i am) (?:a |an )?(?:allergic|vegetarian|vegan)\b"
    r"|\b(?:please|just) (?:always|never|call me|don't ever)\b"
    r"|\b(?:it's|that's|is|was|are) my (?:(?:all-time|personal|absolute) )?favou?rite\b"
    r"|(?:^|[.!:\n]\s{0,3})(?:always|never) (?!give up|give in|mind|here|good|nice|great|glad|happy|up|had|thought|knew"
    r"|been|a|the|an|in|on|there|so|say never|too|heard|saw|seen|staying|tried)\b[a-z]+"
)

ERROR_TRIGGERS = _set(
    "error errors exception exceptions traceback timeout timeouts timed crash crashes crashed crashing fails failed "
    "failing failure failures segfault bug outage panic deadlock hangs oom regression work working broken stack "
    "refused denied leak leaks corrupted corrupt 500 502 503 504"
)
ERROR = re.compile(
    r"\b(?:(?<!trial and )errors?|exceptions?|traceback|stack ?trace|timeouts?|timed out|crash(?:es|ed|ing)?|segfaults?|bug|outage"
    r"|panics?|deadlocks?|oom|out of memory|regression|memory leaks?|corrupt(?:ed|ion)?"
    r"|fail(?:s|ed|ing|ure|ures)? (?:with|on|in|at|to (?:build|start|connect|load|compile|deploy))"
    r"|(?:build|test|tests|deploy|deployment|pipeline|job|request|requests|query|login|migration|server)"
    r"(?: just| still| always| keeps?| are| is)? (?:fail(?:s|ed|ing)?|hangs|broken)"
    r"|(?:connection|permission|access) (?:refused|denied|reset)"
    r"|(?:isn't|is not|not|stopped|doesn't|does not|won't) (?:work|working|start|starting|load|loading|respond"
    r"|responding|compile|compiling|build|building)|(?:returns?|returning|gives?|got|getting) (?:a |an )?5\d\d)\b"
)
TRACEBACK = re.compile(
    r"Traceback \(most recent call last\)|^\s*at [\w.$]+\([\w.]+:\d+\)|\b[A-Z]\w+(?:Error|Exception): ",
    re.MULTILINE,
)
"""Matched against the text as written."""

DECISION_TRIGGERS = _set(
    "decided decision agreed settled go going switch switched switching use adopt stick chose opted decision "
    "moving approved"
)
DECISION = re.compile(
    r"\b(?:we|i|they|team|everyone|management)(?:'ve| have| all| both| finally| just){0,2} "
    r"(?:decided|agreed|settled|opted|chose|approved)\b"
    r"|\b(?:it's|it is|was|been) (?:decided|agreed|settled|approved)\b"
    r"|\blet's (?:go with|use|switch|stick (?:with|to)|adopt|move to|drop)\b"
    r"|\b(?:we|i)(?:'ll| will|'re| are|'m| am)? (?:going with|go with|switch(?:ed|ing)? (?:to|from|over)|adopt|stick "
    r"(?:with|to)|moving to|use)\b(?<!\bwe use)(?<!\bi use)"
    r"|\bswitch(?:ing|ed)? to\b|\b(?:the|our|my|final) decision\b"
)

ACTION_TRIGGERS = _set("todo action deadline due remind by before until eod asap task tasks")
_DAY = (
    r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday|tomorrow|tonight|today|noon|midnight|eod|eow"
    r"|(?:the )?end of|next (?:week|month|sprint|quarter|year)|this (?:week|month|evening|afternoon|weekend)"
    r"|(?:january|february|march|april|may|june|july|august|september|october|november|december) \d"
    r"|\d{1,2}(?::\d\d)? ?(?:am|pm)|\d{1,2}:\d\d|(?:the )?\d{1,2}(?:st|nd|rd|th)|\d{4}-\d\d-\d\d|q[1-4]\b)"
)
ACTION = re.compile(
    r"\b(?:todo|action items?|deadline|asap)\b|(?:^|[.!,\n] {0,2}|\b(?:please|you) )remind me (?:to|about|on|at|in|that|every)\b"
    r"|\b(?:is|are|it's|that's) due\b|\bdue (?:date|by|on|in|at)\b"
    rf"|\b(?:need|needs|have|has|must|should|will|'ll|please|got|gotta|want)\b.{{1,80}}?\b(?:by|before|until) {_DAY}"
)

METRIC = re.compile(
    r"(?<![\w.])\d[\d,.]{0,12} ?(?:%|percent\b|(?:ms|[\u00b5\u03bcu]s|ns|secs?|seconds|[kmgt]i?b|bytes|[kmg]?bps"
    r"|qps|rps|tps|fps|req/s|requests? per|ops/s|rows/s|tokens|mhz|ghz|watts?|kwh|kg|lbs?|km|miles|mg|ml"
    r"|usd|eur|gbp|dollars|euros|pounds)\b)"
    r"|[$\u20ac\u00a3] ?\d[\d,.]{0,12}"
    r"|\bp(?:50|75|90|95|99|999)\b.{0,30}?\d"
)

PLAN = re.compile(
    r"\bstep[ -]by[ -]step\b|\bstep (?:1|one)\b|(?:^|\n)\s{0,4}1[.)]\s"
    r"|\bhere(?:'s| is) (?:a|the|my|our|what) (?:plan|approach|i'd|we'll|outline)\b"
    r"|\blet's (?:debug|start|walk|go through|work|break|look|tackle|begin|investigate|trace|isolate)\b"
    r"|\bfirst\b.{1,200}?\b(?:then|next|second|after that|finally)\b"
    r"|\b(?:i'll|we'll|i will|we will) (?:start|begin) (?:by|with)\b|\bthe plan\b",
    re.DOTALL,
)

# --- what may be dropped ---------------------------------------------------------------------------------------

_ACK_CORE = _set(
    "ok okay k kk thanks thank thx ty cheers great cool nice awesome perfect excellent brilliant wonderful sure yes "
    "yeah yep yup no nope alright right understood noted agreed exactly absolutely definitely indeed lol haha hahaha "
    "hi hello hey hiya morning bye goodbye goodnight cya later welcome np wow sweet lovely amazing fine gotcha good "
    "roger done correct true interesting please night congrats congratulations ha hmm mhm aww ah oh yay sorry"
)
_ACK_GLUE = _set(
    "you so much very a lot again then there all it that that's it's sounds is got will do to for the of course see "
    "problem works me well too really just and everyone guys man my friend your help now mate buddy i'll is this "
    "one day have evening afternoon up let's go makes sense appreciate i glad soon was super what pretty bit no not"
)
_GREETED = re.compile(
    r"\b([Hh]i|[Hh]ey|[Hh]ello|[Tt]hanks|[Tt]hank you|[Mm]orning|[Bb]ye|[Oo]k(?:ay)?),? [A-Z][a-z]+"
)
_SMALL_TALK = re.compile(
    r"\b(?:how are (?:you|things)(?: doing)?(?: today)?|how(?:'s| is) (?:it going|everything|your day(?: going)?|life)"
    r"|how have (?:you|things) been|how do you do|how you doing|what's (?:up|new|good)|anything new|you too"
    r"|long time no (?:see|talk)|(?:it's |so )?(?:good|great|nice|lovely) to (?:see|meet|hear(?: from)?|talk to|chat with) you"
    r"|(?:hope|hoping) (?:you're|you are|all is|you have)[^.!?\n]{0,40}|have a (?:good|great|nice|lovely)[^.!?\n]{0,30}"
    r"|(?:talk|speak|see you|catch you) (?:to you )?(?:soon|later|tomorrow)|take care(?: of yourself)?|good luck"
    r"|been a while|lovely weather[^.!?\n]{0,20}|i'm (?:good|fine|great|ok|okay|doing (?:well|good|great))"
    r"|(?:that's|that is|it's|sounds) (?:so |really |very |such a )?(?:great|cool|nice|awesome|amazing|wonderful|good)"
    r"(?: to hear| news)?)(?![a-z'])"
)
_FILLER = re.compile(
    r"\b(?:i(?:'ll| will) (?:keep|bear|remember|note|make sure|do that|try)[^.!?\n]{0,80}"
    r"|(?:please )?(?:let me know|feel free|don't hesitate)[^.!?\n]{0,100}"
    r"|(?:i'm |i am |always |more than )?(?:happy|glad|here) to (?:help|assist|hear)[^.!?\n]{0,60}"
    r"|you(?:'re| are) (?:very |most )?welcome|my pleasure|no (?:problem|worries)|of course|certainly|absolutely"
    r"|(?:how|what) (?:can|may|else can|should|shall) (?:i|we) (?:help|assist|do|start)[^.!?\n]{0,60}"
    r"|(?:is there )?anything else[^.!?\n]{0,60}|(?:(?:that's|what) an? )?(?:great|good|excellent|interesting) (?:question|point|idea)"
    r"|(?:got it|understood|noted|sure(?: thing)?|sounds good|makes sense|i (?:understand|see)|will do)[^.!?\n]{0,40}"
    r"|thanks? (?:you )?for[^.!?\n]{0,80}|i(?:'m| am) (?:sorry|glad|here)[^.!?\n]{0,60}|i hope (?:this|that) helps[^.!?\n]{0,40}"
    r"|as an ai[^.!?\n]{0,100}|great|good luck[^.!?\n]{0,40})(?![a-z'])"
)


def is_acknowledgement(text: str) -> bool:
    """Tell whether a short text says nothing but yes, thanks or hello, perhaps to someone by name."""
    words = set(WORD.findall(_GREETED.sub(r"\1", text).lower()))
    return not words.isdisjoint(_ACK_CORE) and words <= _ACK_CORE | _ACK_GLUE


def is_small_talk(text: str) -> bool:
    """Tell whether nothing is left of a text without its courtesies."""
    lowered = _GREETED.sub(r"\1", text).lower()
    rest, found = _SMALL_TALK.subn(" ", lowered)
    return bool(found) and set(WORD.findall(rest)) <= _ACK_CORE | _ACK_GLUE


def is_filler(text: str) -> bool:
    """Tell whether nothing is left of an assistant's text without its set phrases."""
    rest, found = _FILLER.subn(" ", text.lower())
    return bool(found) and set(WORD.findall(rest)) <= _ACK_CORE | _ACK_GLUE
