"""Words that say nothing by themselves, in the languages with blanks that Personalize reads texts of.

A text is read by the lists of those languages only that it looks like being written in: "die" is an article in German
and a word like any in English.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["stop_words"]

_ENGLISH: Final = """
a about above called named after again against all almost along already also although always am among an and another
any anyone anything are around as at away back be became because become becomes been before behind being below best
better between both but by came can cannot come comes could did do does doing don done down during each either else
enough even ever every everyone everything few finally find finds first for from further gave get gets getting give
given gives go goes going gone good got great had has have having he her here hers herself him himself his how however
i if in instead into is isn it its itself just keep kept know knows last later least less let like little ll long look
looking lot made make makes making many may me meanwhile might more most much must my myself near need needs never new
next no nobody none nor not nothing now of off often old on once one only onto or other others otherwise our ours out
over own part people per perhaps put quite rather re really s said same see seem seems sees several she should since
so some somebody someone something soon still such t take taken takes than that the their theirs them themselves then
there therefore these they thing things think this those though three through throughout thus time times to together
too took toward towards tries try trying turn turns two under until up upon us use used using ve very want wants was
way we well went were what whatever when where whether which while who whole whom whose why will with within without
won would yet you your yours yourself
"""
_GERMAN: Final = """
aber alle allem allen aller alles als also am an andere anderen auch auf aus bei beim bin bis bist da dabei damit dann
das dass dein deine dem den denn der des dessen die dies diese diesem diesen dieser dieses doch dort du durch ein eine
einem einen einer eines er es etwas euch euer für gegen hat hatte hatten haben habe hier ich ihm ihn ihnen ihr ihre
ihrem ihren ihrer im in ins ist ja jede jedem jeden jeder jedes jetzt kann kein keine keinen können könnte man mein
meine mehr mit muss müssen nach nicht nichts noch nun nur ob oder ohne schon sehr sein seine seinem seinen seiner
selbst sich sie sind so soll sondern über um und uns unser unsere unter viel vom von vor war waren was weg weil wenn
werden wer wie wieder will wir wird wurde wurden während zu zum zur zwei zwischen
"""
_FRENCH: Final = """
a ai ainsi alors au aucun aussi autre autres aux avait avant avec avoir c car ce ceci cela celle celui ces cet cette
ceux chaque chez ci comme comment d dans de depuis des deux doit donc dont du elle elles en encore entre est et eu eux
fait font hors il ils j je jusque l la le les leur leurs lui m ma mais me mes moi moins mon même n ne ni nos notre
nous on ont ou où par parce pas pendant peu peut plus pour pourquoi qu quand que quel quelle qui s sa sans se sera ses
si son sont sous sur t ta tandis te tes toi ton tous tout toute toutes trop tu un une vers voici voilà vos votre vous
y à été être
"""
_SPANISH: Final = """
a al algo algunas algunos ante antes aquel aunque así bien cada como con contra cual cuando de del desde donde dos
durante e el ella ellas ellos en entre era eran es esa esas ese eso esos esta estaba estas este esto estos está están
fue fueron ha había han hasta hay la las le les lo los me mi mientras mis muy más mí nada ni no nos nosotros nuestra
nuestro o otra otras otro otros para pero poco por porque pues que quien quién qué se sea ser si sin sobre son su sus
sí también tan tanto te tiene tienen todo todos tras tu tus un una uno unos y ya yo él
"""
_PORTUGUESE: Final = """
a ao aos aquela aquele aquilo as assim até bem cada com como contra da das de dela dele deles depois do dois dos e ela
elas ele eles em enquanto entre era eram essa esse esta está estas este estes eu foi foram há isso isto já lhe lhes
mais mas me mesmo meu minha muito na nas nem no nos nossa nosso num numa não nós o os ou outra outras outro outros
para pela pelas pelo pelos por porque qual quando que quem se sem ser seu seus sobre sua suas são só também te tem ter
todo todos tu tudo um uma uns você vocês à às é
"""
_LANGUAGES: Final = tuple(frozenset(words.split()) for words in (_ENGLISH, _GERMAN, _FRENCH, _SPANISH, _PORTUGUESE))
#: Share of the words of a text that are stop words of its language, at least, where titles are short; and part of what
#: the language with most of them has, as each language has some words of the others.
_SPOKEN: Final = 0.1
_OF_MOST: Final = 0.25


def stop_words(words: Iterable[str]) -> frozenset[str]:
    """Return the stop words of the languages that texts look like being written in.

    Args:
        words: All words of some texts, repetitions included, in lower case.
    """
    counted = list(words)
    counts = [sum(word in language for word in counted) for language in _LANGUAGES]
    least = max(1.0, _SPOKEN * len(counted), _OF_MOST * max(counts))
    spoken = (language for language, count in zip(_LANGUAGES, counts, strict=True) if count >= least)
    return frozenset().union(*spoken)
