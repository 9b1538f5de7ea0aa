"""The words by which texts try to instruct an agent, as sets of concepts. Curated by hand; folded forms.

A concept is what a rule of `injection.py` asks for; its words are those of nine languages as `injection_text.folded`
leaves them: lower case, without accents. Forms are spelt out: a stemmer would merge what must be told apart.
"""

from __future__ import annotations

import codecs
from enum import IntEnum
from functools import cache

from tiered_memory.privacy.injection_text import folded


class Concept(IntEnum):
    """What a word can mean in an injected instruction."""

    OVERRIDE = 0
    INSTRUCTION = 1
    PRIOR = 2
    YOU = 3
    LASTING = 4
    DIRECTIVE = 5
    AGENT = 6
    MUST = 7
    MEMORISE = 8
    PERSON = 9
    GRANT = 10
    SEND = 11
    SECRET = 12
    TARGET = 13
    NOT = 14
    TELL = 15
    PERSONA = 16
    AUTHORITY = 17
    NOTICE = 18
    SAFETY = 19
    REVEAL = 20
    PAYMENT = 21
    ACCOUNT = 22
    NEW = 23
    TOLD = 24
    RISKY = 25
    WHEN = 26
    PROMPT = 27
    WISH = 28
    CONCEAL = 29


WORDS = {
    Concept.OVERRIDE: """
        ignore ignoring ignored disregard disregarding disregarded override overriding overrides overrule overwrite
        bypass bypassing circumvent neglect discard nullify void overlook supersede supersedes superseded replaces
        setaside drop stopfollowing nolongerapply payno throwout notfollow takeno suspend suspended revoke revoked abandon dismiss forget cancel cancelled deactivate disable disabled disables
        ignoriere ignorieren ignoriert missachte vergiss vergesse verwirf ubergehe umgehe deaktiviere uberschreibe ueberschreibe uebergehe geltennicht nichtbeachten
        ignorez ignorer oublie oubliez oublier desactive plusdecompte contourne contournez ecarte
        ignora ignorad ignorar ignoren olvida olvide olvidar olvidate descarta casoomiso desactiva anula omite
        ignorare dimentica dimenticare scavalca disattiva annulla tralascia
        esqueca esqueces desconsidere desconsidera despreze desative contorne
        игнорируй игнорируите игнорировать забудь забудьте отмени отмените проигнорируи отключи обоиди
    """,
    Concept.INSTRUCTION: """
        instruction instructions instructed directive directives guideline guidelines rule rules prompt prompts order
        orders command commands constraint constraints policy policies programming guidance configuration mandate
        anweisung anweisungen vorgaben vorgabe regeln regel richtlinien befehle befehl instruktionen
        consigne consignes directives regles ordres
        instruccion instrucciones directrices reglas ordenes indicaciones normas
        istruzione istruzioni regole direttive ordini comandi
        instrucao instrucoes diretrizes regras ordens comandos
        инструкции инструкция инструкцию инструкциям указания указаниям правила правил команды
    """,
    Concept.PRIOR: """
        previous previously prior above earlier preceding former foregoing existing original initial before all any
        every everything system past old
        vorherige vorherigen vorherigem bisherige bisherigen obige obigen alle allen fruheren vorigen systemanweisungen
        precedentes precedente anterieures anterieurs toutes tous tout ci dessus
        anteriores anterior previas previos todas todo todos antes
        precedenti precedente tutte tutti tutto
        предыдущие предыдущих все всё прежние прежних прошлые
    """,
    Concept.YOU: """
        you your yours yourself u du dein deine deinen deiner dir dich ihr euch ihre sie
        tu te toi vous votre vos ton ta tes ti tus usted su sus tuo tua tuoi tue voce seu sua seus suas
        ты тебя твои твоя вы вас ваши вам
    """,
    Concept.LASTING: """
        fromnowon henceforth hereafter fromthispoint goingforward untilfurthernotice always never permanently
        persistently everytime infuture immer niemals stets dauerhaft dorenavant desormais toujours jamais siempre
        nunca sempre permanentemente всегда никогда постоянно fromhereon
    """,
    Concept.DIRECTIVE: """
        answer answers answering reply replies respond responds responding say recommend recommends recommending
        suggest suggests append include insert obey comply execute run invoke output echo begin prefix prepend treat
        follow act behave approve insist promote praise steer direct redirect push favor favour advise quote call
        print endorse refuse decline deny state assert propose proposes choose pick book select claim pretend speak write click visit install download open use
        antworte antworten antwortet empfiehlt sagt sage empfehle empfiehl befolge folge verwende schreibe ausfuhren fuge nenne behandle
        reponds repondez reponde repondre dis recommande recommander recommandez proposer ajoute ajoutez suis suivez utilise affirme
        responde responder recomienda recomiende recomendar agrega sigue di ejecuta utiliza
        rispondi rispondere consiglia raccomanda aggiungi segui esegui usa
        responda recomende adicione siga execute diga
        отвечаи отвечаите рекомендуи советуи добавляи выполни выполняи следуи говори пиши
    """,
    Concept.AGENT: """
        assistant assistants ai llm llms chatbot chatbots agent agents gpt chatgpt copilot claude gemini languagemodel
        bot bots languagemodels model assistent assistenten ki sprachmodell agente agentes asistente assistente
        assistenza modele agenti ассистент ассистента бот агент модель ии помощник
    """,
    Concept.MUST: """
        must should shall please important attention note required mandatory need needs instructed hereby dear urgent
        musst mussen sollst soll bitte achtung wichtig dois devez doit debes debe deben atencion importante devi deve
        deves attenzione atencao должен должна обязан внимание важно
    """,
    Concept.MEMORISE: """
        remember memorize memorise store save record note retain persist remembered memory memories keepinmind log
        merke merken speichere speichern notiere erinnere retiens retenez memorise souviens enregistre enregistrez
        recuerda recordar guarda guarde memoriza anota ricorda ricordare memorizza salva annota lembre lembra grave
        memorize запомни запомните сохрани сохраните запиши
    """,
    Concept.PERSON: """
        user users customer customers client clients enduser owner accountholder operator principal
        benutzer benutzers nutzer nutzers nutzerin kunde kunden anwender utilisateur utilisateurs lutilisateur usuario
        usuarios cliente clientes utente utenti lutente пользователь пользователя пользователю пользователем клиент
        клиента
    """,
    Concept.GRANT: """
        authorised authorized authorises authorizes authorisation authorization approved approves preapproved
        consented consents granted grants permission permissions allowed permits permitted waived whitelisted trusts
        trusted verified agreed
        autorisiert genehmigt erlaubt zugestimmt autorise autorisee approuve consenti accepte
        autorizado autorizo autoriza aprobado permitido autorizzato approvato acconsentito
        autorizou aprovado concordou разрешил разрешила одобрил согласился
    """,
    Concept.SEND: """
        send sending sends forward forwarding forwards post upload uploads transmit transmits exfiltrate leak email
        mail deliver submit bcc ship relay dispatch copy cc pass hand curl fetch
        sende senden schicke schicken ubermittle uebermittle weiterleiten leite envoie envoyez envoyer transmets transfere
        envia enviar envie manda reenvia invia inviare inoltra spedisci encaminhe mande отправь отправляи перешли
        отправить шли
    """,
    Concept.SECRET: """
        password passwords credential credentials apikey apikeys token tokens secret secrets passphrase conversation
        conversations history transcript transcripts cookies key keys ssn contacts mailbox inbox messages chats chat
        memory memories private personal confidential otp pin
        passwort passworter passwoerter zugangsdaten gesprach gesprache gespraech gespraeche verlauf geheimnisse motdepasse motsdepasse identifiants
        historique secrets contrasena contrasenas credenciales historial conversacion secretos credenziali cronologia
        conversazione segreti senha senhas credenciais historico conversa segredos пароль пароли переписку историю
        данные
    """,
    Concept.TARGET: "http https www atsign webhook url endpoint ftp onion server",
    Concept.NOT: """
        not dont doesnt never without no nor nicht ohne niemals kein ne pas sans jamais sin non senza nao sem не без
        никогда shouldnt mustnt cannot cant
    """,
    Concept.TELL: """
        tell telling mention mentioning inform informing reveal revealing disclose disclosing notify notifying alert
        told ask asking show warn warning confirm acknowledge
        sagen erwahnen verraten informieren fragen mitteilen dire mentionner informer reveler demander avertir
        decir decirle mencionar informar revelar preguntar avisar dire menzionare informare rivelare chiedere dizer
        говори сообщаи упоминаи спрашивая сообщать рассказываи
    """,
    Concept.PERSONA: """
        youarenow youmustnowact actas pretend roleplay persona jailbreak jailbroken dan developermode godmode
        unrestricted unfiltered uncensored yournewrole debugmode dubistjetzt tuesmaintenant ahoraeres orasei
        agoravocee тытеперь
    """,
    Concept.AUTHORITY: """
        system admin administrator administrators developer developers root sysadmin openai anthropic superuser
        operator platform vendor maintainer systeme sistema administrador amministratore администратор система
        vorgesetzter
    """,
    Concept.NOTICE: """
        notice override message update alert directive command announcement bulletin maintenance communique patch
        meldung nachricht hinweis avis mensaje aviso messaggio avviso mensagem сообщение уведомление
    """,
    Concept.SAFETY: """
        safety filter filters guardrail guardrails safeguard safeguards restriction restrictions moderation
        confirmation confirmations verification approval checks safeties limits limitations
        sicherheit einschrankungen bestatigung ruckfrage restrictions garde securite confirmacion restricciones
        seguridad filtros restrizioni conferma sicurezza restricoes confirmacao ограничения подтверждения
    """,
    Concept.REVEAL: """
        reveal print repeat display dump leak show disclose expose zeige gib affiche revele muestra revela mostra
        rivela mostre покажи раскрои output
    """,
    Concept.PAYMENT: """
        payment payments payout payouts refund refunds invoice invoices transfer transfers wire salary deposit
        remittance zahlung zahlungen uberweisung uberweisungen ueberweisung ueberweisungen paiement paiements virement pago pagos transferencia
        pagamento pagamenti bonifico платеж платежи перевод
    """,
    Concept.ACCOUNT: """
        account iban wallet address accounts recipient beneficiary konto compte cuenta conto conta счет кошелек
    """,
    Concept.NEW: "new updated real actual revised following these neue neuen nouvelles nuevas nuove novas новые",
    Concept.TOLD: "told said given learned learnt taught asked",
    Concept.RISKY: """
        transfer transfers purchase purchases payment payments delete deletion share sharing access disable install
        export execute shell sudo admin unlimited withdraw withdrawals wire disclose commands
        uberweisen ueberweisen loschen loeschen zugriff acces supprimer transferir borrar acceso trasferire cancellare accesso excluir
        acesso переводить удалять доступ
    """,
    Concept.WHEN: "when whenever if once everytime wenn sobald falls quando quand lorsque cuando si se когда если",
    Concept.PROMPT: """
        prompt prompts systemprompt preamble instructions configuration systemanweisung anweisungen consignes
        instrucciones istruzioni instrucoes инструкции промпт
    """,
    Concept.WISH: """
        wants prefers wishes likes needs desires mochte moechte will veut prefere quiere prefiere vuole preferisce quer
        prefere хочет предпочитает
    """,
    Concept.CONCEAL: "hide hiding conceal concealing secretly silently unnoticed withhold verheimliche heimlich cache",
}

_PHRASES = (
    ("from now on", "fromnowon"),
    ("from here on", "fromhereon"),
    ("as of now", "fromnowon"),
    ("ab jetzt", "fromnowon"),
    ("ab sofort", "fromnowon"),
    ("von nun an", "fromnowon"),
    ("a partir de maintenant", "fromnowon"),
    ("a partir de ahora", "fromnowon"),
    ("de ahora en adelante", "fromnowon"),
    ("d'ora in poi", "fromnowon"),
    ("a partir de agora", "fromnowon"),
    ("этого момента", "fromnowon"),
    ("отныне", "fromnowon"),
    ("from this point", "fromthispoint"),
    ("from this moment", "fromthispoint"),
    ("going forward", "goingforward"),
    ("until further notice", "untilfurthernotice"),
    ("every time", "everytime"),
    ("in future", "infuture"),
    ("in all future", "infuture"),
    ("language model", "languagemodel"),
    ("keep in mind", "keepinmind"),
    ("end user", "enduser"),
    ("account holder", "accountholder"),
    ("api key", "apikey"),
    ("mot de passe", "motdepasse"),
    ("mots de passe", "motsdepasse"),
    ("you are now", "youarenow"),
    ("you're now", "youarenow"),
    ("act as", "actas"),
    ("developer mode", "developermode"),
    ("debug mode", "debugmode"),
    ("god mode", "godmode"),
    ("your new role", "yournewrole"),
    ("du bist jetzt", "dubistjetzt"),
    ("tu es maintenant", "tuesmaintenant"),
    ("ahora eres", "ahoraeres"),
    ("ora sei", "orasei"),
    ("agora voce e", "agoravocee"),
    ("ты теперь", "тытеперь"),
    ("system prompt", "systemprompt"),
    ("set aside", "setaside"),
    ("put aside", "setaside"),
    ("stop following", "stopfollowing"),
    ("stop obeying", "stopfollowing"),
    ("no longer appl", "nolongerapply appl"),
    ("pay no ", "payno "),
    ("take no ", "takeno "),
    ("throw out", "throwout"),
    ("throw away", "throwout"),
    ("do not follow", "notfollow"),
    ("not bound by", "notfollow"),
    ("gelten nicht", "geltennicht"),
    ("nicht beachten", "nichtbeachten"),
    ("plus compte d", "plusdecompte d"),
    ("caso omiso", "casoomiso"),
    ("@", " atsign "),
)
"""Expressions of several words that mean one thing, and the word that stands for each."""

PHRASES = tuple((folded(said), folded(word)) for said, word in _PHRASES)
CJK = {
    "override": "忽略|无视|忘记|無視|忘れ",
    "instruction": "指令|指示|规则|規則|ルール|命令|提示词|プロンプト",
    "lasting": "从现在起|从现在开始|今后|以后|永远|これから|今後|常に|必ず",
    "person": "用户|ユーザー|顧客|客户",
    "memorise": "记住|记录|保存|覚えて|記憶して|記録して",
    "grant": "授权|允许|同意|許可|承認|希望",
    "send": "发送|转发|上传|送信|転送|アップロード",
    "secret": "密码|对话|凭证|密钥|パスワード|会話|履歴|認証情報",
    "conceal": "不要告诉|不要通知|别告诉|知らせない|言わない|伝えない|教えない",
    "persona": "你现在是|あなたは今から|あなたは今",
    "directive": "回答|推荐|推薦|勧め|答え|执行|実行",
}
"""Expressions of languages written without spaces; each is looked for in the text as it stands."""


@cache
def lexicon() -> dict[str, tuple[int, ...]]:
    """Return each word's concepts, by number; the strongest also rotated by 13 and reversed, as they come in disguise."""
    found = dict[str, tuple[int, ...]]()
    for concept, words in WORDS.items():
        for word in dict.fromkeys(folded(words).split()):
            found[word] = (*found.get(word, ()), int(concept))
    for concept in (Concept.OVERRIDE, Concept.INSTRUCTION, Concept.PRIOR, Concept.SECRET, Concept.SEND):
        for word in WORDS[concept].split():
            for disguised in (codecs.encode(word, "rot13"), word[::-1]):
                if word.isascii() and len(word) > SHORT:
                    found.setdefault(disguised, (int(concept),))
    return found


SHORT = 4
