"""Words by which a statement says that something is no longer as it was. English; other languages pass by unharmed.

Patterns are matched against lower-case text with straight apostrophes, and every repetition in them is bounded.
"""

from __future__ import annotations

import re

WORD = re.compile(r"[a-z0-9]+(?:[.'@:/-][a-z0-9]+)*")
UNIT_END = re.compile(
    r"(?<=[.!;])(?<!\b[DMS]r\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bSt\.)(?<!\bvs\.)(?<!\bNo\.)\s+|(?<=\?)\s*|\n+|[\u3002\uff01]"
)
"""Where one assertion ends; the question mark stays with its sentence."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sep|oct|nov|dec"

CHANGE = re.compile(
    r"\b(?:ended|put|trimmed|complete|shipped|transferred|reassigned|overcame|named (?:mr|mrs|ms|dr|[a-z]+ as)|picked up|bought|buy|signed|installed|wiped|renewed|accepted|hired|appointed|elected|cut|dyed|lost|back (?:at|home|from|in|to)|leaves?"
    r"|say no|said yes|no more|taught by|repair(?:ed)?|fixed|opened|doubled|halved|tripled|first day|finalized|came home|turned|porting|ported|downhill"
    r"|rotate|changed?|found|move[ds]?|moving|switch(?:ed|ing|es)?|chang(?:ed?|ing|es)|cancel|gone|broken?|fell|expired|ill|sick|born|became|sell|stop|become"
    r"|g[ai]ve\b.{1,25}\bback|returned|behind (?:me|us)|transfer|quit|leave|replac(?:ed|es|ing)|migrat(?:ed|ing)|swapp?ed|upgraded"
    r"|downgraded|bumped|raised|lowered|reduced|increas(?:ed|e)|decreased|extended|postponed|rescheduled|rebooked"
    r"|shift(?:ed|s) (?:to|from|my|our|the|it)|(?:was|is|got|been) shifted|slip(?:s|ped) (?:to|by)|cancel(?:l?ed)?|called off|delayed|brought forward"
    r"|push(?:ed|es) (?:back|to|the|our|my|it)|put off|no longer|any ?more|any longer|instead|rather than|in place of"
    r"|from (?:now|here|today|tomorrow|next|this|september|january) on|from (?:now|today|tomorrow|next|this)\b|until further notice"
    rf"|(?:starting|as of|effective|since|from|beginning) (?:the )?(?:next|in|with|from|today|tomorrow|now|last|then|first|new|{_DAY})"
    r"|quit|resigned|retired|retires|g[ai]ve(?:n)? up|stopped|sold|trad(?:ed|ing) in|got rid of|broke up|split up|divorced|separated"
    r"|passed away|died|handed over|took over|take(?:s|n) over|these days|nowadays|lately|now|currently|at the moment"
    r"|turn(?:s|ed) out|after all|renamed|relocat(?:ed|ing)|refinanced|bec[ao]me|gr(?:ew|own) to|(?:up|down) (?:to|at)"
    r"|dropped|w[eo]nt up|goes up|go(?:es|ne)? (?:up|down)|signed off|unblocked|resumes?|adopted|settled (?:in|into)|new|finally"
    r"|is (?:gone|finish(?:ed)?|over|off|live|closed|broken)|are done|is done|ditched|left|closed|converted|finished|rewrite|rewrote"
    r"|hasn't|haven't touched|the new|start(?:ed|ing)|joined|joining|promoted|transferred|got (?:a|the|his|her|my|our|married|engaged|funded)"
    r"|anymore|all set|again|just|recently|revised|updated?|latest|meanwhile|this (?:week|month|year|fall|spring|summer|winter|morning))\b"
    r"|->|=>|\u2192"
)
"""A change, or a present that need not have been the past."""

ADDRESSEE = re.compile(
    r"\b(?:you|your|you're|you've|you'll|yours|ya|u|keep|let me know|take care|good luck|have (?:fun|a (?:good|great|nice))|no worries|no prob\w*)\b"
)
"""Said of, or to, the one spoken to."""

EXPLICIT = re.compile(
    r"\b(?:moved (?!by\b|me\b|on\b)|moving to|switch(?:ed|ing)|changed (?:to|from|for|the|my|our|me|jobs?|its?)|ha(?:s|ve) changed|replac(?:ed|es)|migrated|swapped"
    r"|upgraded|downgraded|bumped|raised (?:to|the|our|my|it)|raised|lowered|reduced|increased|decreased|extended|postponed|rescheduled|rebooked"
    r"|shifted|slips? to|slipped to|cancel(?:l?ed)?|called off|delayed|brought forward|push(?:ed|es) (?:back|to|the|our|my|it)"
    r"|no longer|any ?more|any longer|instead|rather than|in place of|from (?:now|here|today|next \w+) on|from (?:now|today|next)\b"
    r"|starting (?:next|in|with|from|today|tomorrow|monday|tuesday|wednesday|thursday|friday)|as of|until further notice"
    r"|(?<!won't )(?<!not )(?<!never )quit|resigned|retired|(?<!never )(?<!won't )(?<!not )g[ai]ven? up|traded in|got rid of|broke up|split up|divorced|passed away|handed over"
    r"|g[ai]ve\b.{1,25}\bback|behind (?:me|us)|since (?:my|our|his|her) last|update(?:d)?(?: on|:)|(?:had|have|has|decided) to (?:raise|lower|extend|increase|reduce|reschedule|postpone|cancel|move|change|switch|cut|drop)|started (?:school|college|university|work|at|first|a new)|first day|renewed|wiped|finalized|ended (?:things|it)|handed in|(?:gave|put in) (?:my )?notice|transferred to|rebooked|reassigned|moved (?:in|out)|went downhill|doubled|halved|tripled|took over|take(?:s|n) over|these days|nowadays|turn(?:s|ed) out|renamed|relocated|refinanced|bec[ao]me"
    r"|gr(?:ew|own) to|w[eo]nt up|goes up|go up|signed off|unblocked|rewrite|since (?:the|last|monday|january)"
    r"|unpack(?:ed|ing)|(?:joined|adopted|promoted|transferred|hired|settled (?:in|into)|got (?:a job|married|engaged|funded))"
    r"|new (?:[a-z]+ )?(?:job|flat|apartment|house|home|place|car|truck|phone|number|email|address|school|boss|manager|boyfriend|girlfriend|partner"
    r"|doctor|dentist|therapist|teacher|coach|landlord|role|position|team|office|city|company|employer|plan|deadline|date|price|rate|bank))\b"
    r"|->|=>|\u2192"
)
"""A change that is said to be one."""

CORRECTION = re.compile(
    r"\b(?:correction|i meant|scratch that|typo|oops|my (?:bad|mistake)|misread|mistyped|misremembered|misspoke|misheard"
    r"|(?:was|were|got (?:it|that|this)|remembered (?:it|that)|had (?:it|that)|told you) wrong(?:ly)?|mixed (?:\w+ ){0,2}up|let me correct|to correct"
    r"|no,? wait|wrong (?:one|number|date|name|day)|should (?:be|have been|say)|i told you|i said|on second thought|i stand corrected"
    r"|not (?:[\w.:'-]+ ){0,3}?[\w.:'-]+,? (?:it's|its|it is|but|we're|he's|she's|they're)|,? not (?:the )?[\w.:-]+[.!]?$)\b"
    r"|^(?:actually|edit|erratum|sorry)\b|\bactually,? (?:it|the|my|our|we|he|she|i'm|that)\b"
)
"""The speaker takes back what was said."""

ADDITIVE = re.compile(
    r"\b(?:also|too(?=[.,!]|$)|as well|besides|additionally|in addition|second (?:one|job|car|dog|cat|phone))\b"
)
"""The new stands beside the old."""

CHAT = re.compile(
    r"\b(?:thanks|thank you|wow|awesome|amazing|congrats|congratulations|appreciate|appreciated|lol|haha|agreed?|cool|glad|sounds (?:great|good|fun|like)"
    r"|means? (?:a lot|so much)|so (?:happy|proud|excited|sweet|cute)|no (?:worries|problem|prob)|aw+|yeah|yep|gotcha|hey|bye|wonderful|gorgeous|inspiring)\b"
)
"""Talk that keeps company: much alike, and it says little that could change."""

HEDGE = re.compile(
    r"\b(?:might|maybe|perhaps|probably|possibly|could|would(?:n't)?|(?:i|we)'d (?!say)|if|unless|wish(?:es)?|hop(?:e|es|ing)|dream(?:s|ing)?"
    r"|thinking (?:of|about)|think about|considering|consider|imagine|pretend|someday|one day|some day|should (?:i|we|you)|suppose"
    r"|dream(?:t|ed)|wished|imagin(?:ed|ing)|pretend(?:ed|ing)|suppose[ds]|tr(?:y|ies|ied|ying) to|fail(?:s|ed)? to|refus(?:e|es|ed) to"
    r"|intend(?:s|ed)? to|meant to (?!say|write|type)|(?:am|'m|is|are|'re|was|were) (?:just |only )?about to|(?:was|were) (?:\w+ )?(?:going|close) to|came close to|verge of"
    r"|(?:i|we) should(?:'ve| have) (?!said|been|written)|as though|jok(?:e|ed|es|ing)|kidding|doubt(?:s|ed)?|(?:do|did)(?:n't| not) (?:think|believe)"
    r"|(?:almost|nearly) (?:\w+ )?(?:[a-z]{2,}ed|went|got|left|quit|bought|sold|became|took|chose|lost|won|broke|gave|fell|made|began|swapped)"
    r"|(?<!n't )want(?:s|ed)? to|wanna|would like|plan(?:s|ning)? (?:to|on)|looking (?:to|forward)|what if|in case|can't wait|wonder(?:ing)?|hypothetically|debating)\b"
)
"""Not (yet) so."""

DENIED = re.compile(
    r"(?:\b[a-z]+n't|\b(?:(?:did|do|does|have|has|had|is|was|are|were|would|could|wo|ca)nt|not|never|cannot|nobody|no one|against|without|nor))(?: (?!i |we |it |he |she |they |so |but |and |because |now |longer )[a-z']+){0,3}?"
    r" (?:mov(?:e|es|ed|ing)|relocat(?:e|ed|ing)|switch(?:ed|ing)?|chang(?:e|ed|es|ing)|replac(?:e|ed|ing)|migrat(?:e|ed|ing)|swap(?:ped|ping)?"
    r"|join(?:ed|ing)?|start(?:ed|ing)?|adopt(?:ed|ing)?|transfer(?:red|ring)?|promoted|hired|renamed?|upgrad(?:e|ed|ing)|becom(?:e|ing)|became"
    r"|reschedul(?:e|ed|ing)|postpone(?:d)?|push(?:ed)?|shift(?:ed)?|rais(?:e|ed)|lower(?:ed)?|extend(?:ed)?|reduced?|quit|resign(?:ed)?|retired?|got|get|t[ao]ken?|took"
    r"|accept(?:ed|ing)?|bought|buy(?:ing)?|sign(?:ed|ing)?|settled?|updated?|turn(?:ed)? (?:vegan|vegetarian)|sold|sell(?:ing)?|leave|leaving|left)\b"
    r"|\bturned down (?:the|a|an|my|their)\b|\bdeclined\b|\b(?:avoid(?:s|ed)?|dread(?:s|ed)?|fear(?:s|ed)?|scared of|afraid of|appl(?:y|ied) to|hair of)\b"
    r"|\b(?:cancel(?:l?ed)?|called off|scrapped) (?:my|our|the|his|her|their) (?:move|switch|transfer|relocation)\b"
    r"|\b(?:move|switch|transfer|relocation)\b.{0,30}?\b(?:cancel(?:l?ed)?|called off|scrapped|fell through)\b"
    r"|\b(?:not true|untrue|false) that\b|\bin (?:the|my|a) (?:novel|story|game|play|movie|film)\b|\bin theory\b|\bapril fools?\b"
)
"""A change that did not happen."""

NEGATION = re.compile(r"\b[a-z]+n't\b|\b(?:not|never|cannot|nobody|no one|neither|nor)\b(?! any ?more)")
STILL_OVER = re.compile(r"\b(?:any ?more|any longer|no longer)\b")
"""Of what is denied it tells that it used to be so."""

CLAUSE = re.compile(r"[,;:]|\b(?:i|we|it|he|she|they|but|and|so|because)\b")
"""Between two clauses of a sentence."""

_NO_NOUN = (
    r"(?!(?:is|was|are|were|am|be|has|have|had|will|on|in|at|to|from|by|for|of|and|or|with|got|now|went|goes|left|quit|working|living|runs?|starts?|works?|lives?"
    r"|day|night|week|month|year|time|[a-z]+ed)\b)"
)
QUALIFIER = re.compile(
    r"\b(?:(?:my|our|his|her|their|its|the|an?|[a-z]+'s)(?: new| own)? (work|office|business|company|home|private|personal|other|different|second|third|fourth|first|last"
    r"|old|older|former|previous|ex|spare|backup|emergency|main|primary|secondary|alternat(?:e|ive)|temporary|school|mobile|landline|weekend|summer|winter|guest)"
    rf"|(another)) {_NO_NOUN}(?=[a-z])"
    r"|^(?:the |my |our )?(?!(?:it|he|she|that|this|there|here|what|who|where|how|let|today|tomorrow)\b)([a-z]+)'s (?=[a-z]{3})"
    rf"|(?:^|\b(?:my|our|his|her|their|its|the|[a-z]+'s) )(?:(?!(?:i|we|he|she|they|end|start|middle|rest|beginning|first)\b){_NO_NOUN}[a-z]+ ){{1,3}}?(?:with|for|of) (?:the |my |our |an? )?"
    rf"(?!(?:{_DAY}|me|us|it|them|this|that|now|today|tomorrow|next|good|sure)\b)([a-z][\w'-]*)"
)
"""What tells one thing from another of its kind: the *work* number, the *other* deadline, the meeting with *Bob*."""

FORMER = _set("old older former previous ex last")

QUOTE = re.compile(
    r"\b(?:he|she|they|someone|people|everyone|the (?:article|book|news|movie|film|song|post)) "
    r"(?:said|says|told|claims?|claimed|wrote|thinks?|asked)\b|\b(?!i |we )\w+ (?:said|says|claims|claimed|told (?:me|us))"
    r"(?::|,| (?:that|he|she|they|i|his|her|their)\b)|\baccording to\b|^[\"\u201c>]"
)
"""Another's words."""

PAST = re.compile(
    r"\b(?:used to|back (?:then|when|in)|when i was|when we were|as a (?:kid|child|teen|student)|in (?:college|childhood|high school|my (?:teens|twenties|thirties|youth))"
    r"|gr[eo]w(?:n)? up|was born|were born|(?:\w+ )?(?:years?|months?|decades?) ago|once upon|formerly|in (?:19|20[01])\d\d?|last (?:summer|winter|year|spring|fall|autumn))\b"
)
"""Over already when it was said."""

EVENTFUL = re.compile(
    r"\b(?:likes?|lov(?:e|es|ed)|enjoy(?:s|ed)?|visit(?:s|ed|ing)?|went|watch(?:ed|ing)?|ate|met|saw|spent|ran|painted|baked|cooked|hik(?:ed|ing)"
    r"|speaks?|learn(?:s|ed|ing)?|allergic|bought|made|took|hates?|brothers?|sisters?|plays?|played|playing|attended|trip to|thank(?:s|ful)?)\b"
)
"""Tastes, kin and single events: one more does not end the other."""

LEFT_BEFORE = _set(
    "not longer instead than left leave leaving quit sold sell selling traded gave dropped drop stopped stop replaced "
    "replaces replacing goodbye ditched cancelled canceled wasn't isn't aren't can't closed unlike former ex"
)
"""Before a word: what it names is left behind."""

FINISHED_BEFORE = _set("finish finished done")
"""The same, before a name or a number only."""

OVER_AFTER = _set(
    "closed closes closing retired retires died passed broke broken sold gone finished finish ended cancelled canceled "
    "cancel ill sick expired stopped discontinued fell downhill resigned"
)
"""After a word: what it names is over."""

FILLERS = _set(
    "new now finally switch move chang replac instead longer current current start start sinc updat recent late nowadai today "
    "correct actual meant mean sorri wrong typo oop final anymor set get got go goe gone went come came take took taken make made us "
    "give gave given put call use wai thing dai time week month year bit realli decis decid agre good new news yesterdai tomorrow "
    "great awesom amaz cool nice bad tough hard thank support keep kept love like happi glad wow sure idea definit hope feel felt "
    "feel enjoi fun excit inspir proud best better wonder beauti luck import care help share see saw seen know think tell told "
    "show try tri work-hard look sound start keep hear heard believ mind stuff alwai yeah bye everi"
)
"""Index terms that say nothing of what a statement is about."""

WEEKDAY = re.compile(
    r"\b(?:(mon)(?:days?)?|(tue)(?:s|sdays?)?|(wed)(?:nesdays?)?|(thu)(?:rs|rsdays?|r)?|(fri)(?:days?)?|(sat)(?:urdays?)?|(sun)(?:days?)?)\b"
)
CLOCK = re.compile(
    r"\b(\d{1,2}):(\d{2})(?: ?[ap]m)?\b|\b(\d{1,2}) ?(?:[ap]m|h|o'clock)\b|\b(noon|midnight)\b"
)
MONTH_DAY = re.compile(
    r"\b(?:(\d{1,2})(?:st|nd|rd|th)?(?: of|\.)? )?(?!mar[kit]|dec[io]|apr[io]n|janit|may(?:be)? |seps|octo[np])(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    r"(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?\b(?: (\d{1,2})(?:st|nd|rd|th)?\b(?!:))?"
    r"|\bthe (\d{1,2})(?:st|nd|rd|th)\b"
)
DAY_PART = re.compile(
    r"\b(?:daily|weekly|monthly|yearly|hourly|quarterly|biweekly|q[1-4]|mornings?|afternoons?|evenings?|nights?|midday|weekends?|weekdays?)\b"
)
NUMBER = re.compile(r"(?<![\w.:-])[$\u20ac\u00a3]?\d[\d.,:-]*\d*[a-z]{0,3}%?")
WORD_NUMBERS = _set(
    "third fourth fifth sixth seventh eighth ninth tenth two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty hundred"
)
EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.]{2,32}")
INSIDE_NAME = re.compile(r"(?<=[a-z0-9,;:&] )[A-Z]\w+")
"""A capitalised word inside a sentence; matched against the text as written."""
