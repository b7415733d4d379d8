"""Undo evasion spelling without losing the way back to the original text.

    Step 1  strip what no reader sees: zero-width, variation selectors, tags, bidi and other controls
    Step 2  NFKC: half-width kana, full-width and mathematical letters
    Step 3  a bounded alias map: タヒね 氏ね 4ね こ口す し・ね, look-alike letters, hentaigana

Steps 1 and 2 give `plain`, step 3 gives `canonical`. The classifier reads both where they differ, because an alias
can be innocent (4ねん1くみ, 横浜市ねこ譲渡会) and only the context tells. Every character keeps the range of the
original that it came from. Not here: romaji, emoji and 当て字, which the model has to learn.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Normalized:
    """`text` with, for each of its characters, the half-open range of the original it stands for."""

    text: str
    ranges: tuple[tuple[int, int], ...]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The range of the original text behind characters [start, end) of `text`."""
        if not 0 <= start < end <= len(self.ranges):
            raise ValueError(f"no such range: [{start}, {end}) of {len(self.ranges)} characters")
        return self.ranges[start][0], self.ranges[end - 1][1]


@lru_cache(maxsize=8_192)  # kinds of characters, not texts
def _invisible(char: str) -> bool:
    code = ord(char)
    if char in "\n\t":
        return False
    return (
        unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co")
        or any(first <= code <= last for first, last in _BLANK_RANGES)
        or code & 0xFFFE == 0xFFFE  # noncharacters at the end of each plane
        or code in _BLANK_LETTERS
    )


# Variation selectors, noncharacters, and what Unicode keeps for future invisibles. Other code points that this Python
# does not know yet (Cn) stay: they are the emoji and kanji of a newer Unicode, which a reader does see.
_BLANK_RANGES: Final = (
    (0x2060, 0x206F),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),
)

# Letters and marks that render as nothing: grapheme joiner, Hangul fillers, Khmer inherent vowels,
# Mongolian variation selectors, the Braille pattern without dots.
_BLANK_LETTERS: Final = frozenset(
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0)
)


@lru_cache(maxsize=8_192)
def _joins_previous(char: str) -> bool:
    """Whether NFKC may merge `char` into the character before it: marks, and Hangul vowels and finals in any width."""
    first = unicodedata.normalize("NFKD", char)[0]
    return unicodedata.category(first) in ("Mn", "Mc", "Me") or "\u1160" <= first <= "\u11ff"


def plain(text: str) -> Normalized:
    """Steps 1 and 2: what a reader sees, in one spelling per letter."""
    if unicodedata.is_normalized("NFKC", text) and not any(_invisible(char) for char in text):
        return Normalized(text, tuple((i, i + 1) for i in range(len(text))))
    visible = [(i, char) for i, char in enumerate(text) if not _invisible(char)]
    out: list[str] = []
    ranges: list[tuple[int, int]] = []
    i = 0
    while i < len(visible):
        j = i + 1
        while j < len(visible) and _joins_previous(visible[j][1]):
            j += 1
        piece = unicodedata.normalize("NFKC", "".join(char for _, char in visible[i:j]))
        for char in piece:
            if not _invisible(char):
                out.append(char)
                ranges.append((visible[i][0], visible[j - 1][0] + 1))
        i = j
    return Normalized("".join(out), tuple(ranges))


_KATAKANA: Final = "ァ-ヺー"
_KANJI: Final = "一-鿿々"
_SEPARATOR: Final = r"[・･.,、。\-‐ー~〜\s_/|*＊+'’]"
_BLANK: Final = "[○◯〇●×✕✖*＊]"
_DEATHS: Final = "戦餓溺病独急変労脳楽凍焼水圧即枯仮生必惨横瀕不半客故事過心獄"  # 戦死 …: a word of its own
_KILLINGS: Final = "自他必暗毒相黙悩忙虐惨銃射撲刺絞抹封併減笑屠誤謀瞬"  # 必殺 …
_MOUTHS: Final = "コミ|パク|ゲンカ|グセ|ベタ|ヒゲ|チャック|サイズ"  # 口コミ …

# Pattern → replacement. Each is bounded by what stands around it, so that look-alikes stay untouched.
_ALIASES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"(?<![{_KATAKANA}])[タ夕]{_SEPARATOR}?[ヒ匕](?![{_KATAKANA}])", "死"),
        # Not 私ね, which opens many a sentence; not PS4ね, 第四ね, 十四ね.
        (rf"(?:(?<![{_KANJI}])|(?<=お前)|(?<=全員))[氏市誌師詩史士]ね(?![こぎずんぶっむつ{_KATAKANA}])", "死ね"),
        (r"(?<![0-9A-Za-vx-z第.#〇一二三四五六七八九十百千])[4四]ね(?![んこずぎじ])", "死ね"),
        (rf"(?<![ぁ-ゖ{_KANJI}])し{_SEPARATOR}{{1,2}}ね(?!{_SEPARATOR}?[んこずぎつま])", "死ね"),
        (rf"死{_BLANK}(?=た[いくか])", "死に"),
        (rf"(?<![{_DEATHS}*])死{_BLANK}(?![ね{_KANJI}])", "死ね"),
        (rf"死(?:{_SEPARATOR}{{1,2}}|{_BLANK})ね(?![んこずぎつむ])", "死ね"),
        (rf"(?:^|(?<=\s)){_BLANK}ね(?=$|[\s!?。w笑])", "死ね"),
        (rf"(?<![{_KILLINGS}*])殺{_BLANK}(?![す{_KANJI}])", "殺す"),
        (rf"(?<![{_KILLINGS}])殺(?:{_SEPARATOR}|{_BLANK})す(?=$|[^ぁ-ゖ]|[ぞよかわのとねなんつけ]|べき)", "殺す"),
        (rf"(?:(?<![ぁ-ゖ])|(?<=[をっ])|(?<=ぶち))ころ{_BLANK}", "ころす"),  # not ところ○
        (rf"{_BLANK}ろす|[こコ]口[すス]|こロす|(?<![a-z])k[o0*]r[o0*]su(?!ke)", "ころす"),
        (rf"(?<![各独出*])自{_BLANK}(?![{_KANJI}])", "自殺"),  # not 各自○○
        (rf"自{_SEPARATOR}殺|じ{_SEPARATOR}?さ{_SEPARATOR}?つ(?=し|す|願|しよ)", "自殺"),
        # Look-alike letters; 力 and 口 only in abuse, since コミュ力, パンチ力, 口コミ and タメ口 are everyday words.
        (rf"(?<![{_KATAKANA}])バ力", "バカ"),
        (rf"(?<![{_KANJI}])力ス(?![{_KATAKANA}])", "カス"),
        (rf"(?<=ー)力(?=ー)|(?<![{_KANJI}])力(?=ルト)", "カ"),
        (rf"(?<=(?<![{_KATAKANA}])[エグゲ])口(?![{_KANJI}])", "ロ"),
        (rf"(?<=[{_KATAKANA}])(?<!タメ)口(?!{_MOUTHS})(?=[{_KATAKANA}])", "ロ"),
        (rf"(?<![{_KANJI}{_KATAKANA}])口リ(?=コン|[^{_KATAKANA}]|$)", "ロリ"),
        (rf"(?<=[{_KATAKANA}])夕(?![{_KANJI}])|(?<![{_KANJI}])夕(?=[{_KATAKANA}])", "タ"),
        (rf"(?<=[{_KATAKANA}])(?<!ツ)二(?=[{_KATAKANA}])(?!ツ)", "ニ"),
        (rf"(?<=[{_KATAKANA}])(?<!ツ)八(?=[{_KATAKANA}])(?!ツ)", "ハ"),
        (rf"(?<=[{_KATAKANA}])工(?=[{_KATAKANA}])", "エ"),
        (rf"(?<=[{_KATAKANA}])卜(?![{_KANJI}])", "ト"),
        ("𠮟", "叱"),
    )
)

# Cyrillic and Greek letters that look Latin, folded only inside words that also hold a Latin letter.
_LATIN_LOOKALIKES: Final = str.maketrans("аесорхуіјѕһԁɡӏοιανκτ", "aecopxyijshdgloiavkt")
_LATIN_CYRILLIC_OR_GREEK: Final = re.compile(r"[a-zA-Zа-яіјѕһԁɡӏα-ω]+")


def _latin(match: re.Match[str]) -> str:
    word = match[0]
    return word.translate(_LATIN_LOOKALIKES) if any(char.isascii() for char in word) else word


_SYLLABLES: Final = (
    "A I U E O KA KI KU KE KO SA SI SU SE SO TA TI TU TE TO NA NI NU NE NO HA HI HU HE HO MA MI MU ME MO "
    "YA YU YO RA RI RU RE RO WA WI WE WO N"
)
_KANA: Final = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわゐゑをん"
_KANA_OF_SYLLABLE: Final = dict(zip(_SYLLABLES.split(), _KANA, strict=True))


def _hentaigana() -> dict[int, str]:
    table = {}
    for code in range(0x1B002, 0x1B11F):
        name = unicodedata.name(chr(code), "")
        if name.startswith("HENTAIGANA LETTER "):
            kana = _KANA_OF_SYLLABLE.get(name.removeprefix("HENTAIGANA LETTER ").split("-")[0])
            if kana:
                table[code] = kana
    return table


_HENTAIGANA: Final = _hentaigana()


def canonical(read: Normalized) -> Normalized:
    """Step 3 on the result of `plain`: aliases replaced, ranges kept. Returns `read` itself where none fired."""
    text = read.text.translate(_HENTAIGANA)
    text = _LATIN_CYRILLIC_OR_GREEK.sub(_latin, text)
    ranges = list(read.ranges)
    for pattern, replacement in _ALIASES:
        text, ranges = _replace(pattern, replacement, text, ranges)
    return read if text == read.text else Normalized(text, tuple(ranges))


def folded(text: str) -> str:
    """All steps, without the way back: one text for all its spellings."""
    return canonical(plain(text)).text


def _replace(
    pattern: re.Pattern[str], replacement: str, text: str, ranges: list[tuple[int, int]]
) -> tuple[str, list[tuple[int, int]]]:
    pieces: list[str] = []
    kept: list[tuple[int, int]] = []
    position = 0
    for match in pattern.finditer(text):
        start, end = match.span()
        pieces += (text[position:start], replacement)
        kept += ranges[position:start]
        kept += [(ranges[start][0], ranges[end - 1][1])] * len(replacement)
        position = end
    if not pieces:
        return text, ranges
    pieces.append(text[position:])
    kept += ranges[position:]
    return "".join(pieces), kept
