#!/usr/bin/env python3
"""The grammar behind the built-in model: English numbers, dates, times and prices in words, each with its Chinese answer.

    numbers_en_zh_grammar.py --check                  hand-verified table, round trips, no phrase with two answers
    numbers_en_zh_grammar.py --heldout 10000 OUT.tsv  held-out phrases: phrase, answer, category
    numbers_en_zh_grammar.py --sample 20              a few phrases to look at
    numbers_en_zh_grammar.py --vocab DIR              source.vocab.txt and target.vocab.txt

Every phrase is drawn as a meaning first (a number, a date, ...) and then worded; the answer is computed from the meaning, so
it is exact. A phrase belongs to the held-out part by a hash of its normalised words, whatever the seed. README.md has the rules.
"""
import argparse
import calendar
import hashlib
import itertools
import os
import random

UNITS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
         "eighteen nineteen").split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = ((10**6, "million"), (10**3, "thousand"))
MONTHS = "january february march april may june july august september october november december".split()
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
ZH_WEEKDAYS = ["星期" + c for c in "一二三四五六日"]
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
            "twelve": "twelfth"}
PERIODS = (("in the morning", "上午"), ("in the afternoon", "下午"), ("in the evening", "晚上"), ("at night", "夜里"),
           ("a.m.", "上午"), ("a m", "上午"), ("am", "上午"), ("p.m.", "下午"), ("p m", "下午"), ("pm", "下午"))
NAMED_TIMES = (("noon", "正午"), ("midnight", "午夜"), ("twelve noon", "正午十二点"), ("twelve midnight", "午夜十二点"))
# singular, plural, Chinese; then the same for the hundredth part where the currency has one in this grammar
CURRENCIES = (("dollar", "dollars", "美元", "cent", "cents", "美分"), ("euro", "euros", "欧元", "cent", "cents", "欧分"),
              ("pound", "pounds", "英镑", "penny", "pence", "便士"), ("yen", "yen", "日元"), ("yuan", "yuan", "元"))
ZH_DIGITS = "零一二三四五六七八九"
ZH_YEAR_DIGITS = "〇一二三四五六七八九"
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
MAX_CARDINAL = 999_999_999
HELDOUT_SEED = 20_000
HELDOUT_ONE_IN = 20

# ---- Chinese ------------------------------------------------------------------------------------------------------------


def zh_cardinal(n):
    """Groups of four digits; 零 once for each run of skipped places that is followed by a digit; 十 at the start, 一十 inside."""
    if n == 0:
        return "零"
    out, gap = "", False  # gap: a place was skipped since the last spoken digit
    for scale, unit in ((10**8, "亿"), (10**4, "万"), (1, "")):
        group = n // scale % 10**4
        for place, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
            digit = group // place % 10
            if digit:
                out += ("零" if out and gap else "") + ZH_DIGITS[digit] + name
            gap = digit == 0
        if group:
            out += unit
            gap = False  # zeros that end a group are silent (十万五千); a zero that starts the next one is not (十万零五百)
    return out[1:] if out.startswith("一十") else out


def zh_count(n):
    """A quantity before a unit: exactly two is 两, every other number as usual."""
    return "两" if n == 2 else zh_cardinal(n)


def zh_digits(text, names=ZH_DIGITS):
    return "".join(names[int(c)] for c in text)


def zh_year(year):
    return zh_digits(str(year), ZH_YEAR_DIGITS) + "年"


def zh_clock(hour, minute):
    return zh_count(hour) + "点" + ("" if minute == 0 else ("零" if minute < 10 else "") + zh_cardinal(minute) + "分")


# ---- English numbers ----------------------------------------------------------------------------------------------------


class Style:
    """How one phrase words its numbers: drawn once, so that most phrases keep to one manner."""

    def __init__(self, rng):
        self.rng = rng
        self.and_chance = rng.choice((0, 0, 0, 0.5, 1, 1, 1, 1))
        self.hyphens = rng.random() < 0.7
        self.commas = rng.random() < 0.15
        self.article = rng.random() < 0.3  # "a hundred" for "one hundred"
        self.hundreds = rng.random() < 0.1  # "twelve hundred" for "one thousand two hundred"
        self.oh = rng.random() < 0.4  # "oh" for the digit zero

    def joint(self):
        return " and " if self.rng.random() < self.and_chance else " "


def below_hundred(n, style):
    if n < 20:
        return UNITS[n]
    tens, unit = divmod(n, 10)
    return TENS[tens] + (("-" if style.hyphens else " ") + UNITS[unit] if unit else "")


def below_thousand(n, style):
    hundreds, rest = divmod(n, 100)
    if not hundreds:
        return below_hundred(rest, style)
    head = UNITS[hundreds] + " hundred"
    return head + (style.joint() + below_hundred(rest, style) if rest else "")


def cardinal(n, style):
    if style.hundreds and 1100 <= n <= 9999 and n // 100 % 10:
        rest = n % 100
        text = below_hundred(n // 100, style) + " hundred"
        return text + (style.joint() + below_hundred(rest, style) if rest else "")
    parts, rest = [], n
    for scale, name in SCALES:
        if rest >= scale:
            parts.append(below_thousand(rest // scale, style) + " " + name)
            rest %= scale
    text = (", " if style.commas else " ").join(parts)
    if rest or not parts:
        joint = style.joint() if rest < 100 else " "
        text += ((", " if style.commas and joint == " " else joint) if parts else "") + below_thousand(rest, style)
    if style.article and text.startswith(("one hundred", "one thousand", "one million")):
        text = "a" + text[3:]
    return text


def ordinal(n, style):
    text = cardinal(n, style)
    cut = max(text.rfind(" "), text.rfind("-")) + 1
    last = text[cut:]
    if last in ORDINALS:
        last = ORDINALS[last]
    else:
        last = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return text[:cut] + last


def draw_cardinal(rng, top=MAX_CARDINAL):
    """Long numbers more often than short ones, and many zeros: they are what makes Chinese numerals hard."""
    kind = rng.random()
    if kind < 0.08:
        return rng.randint(0, min(100, top))
    longest = len(str(top))
    length = max(rng.randint(1, longest), rng.choice((0, rng.randint(1, longest))))
    if kind < 0.18:  # a round number
        return min(rng.choice((rng.randint(1, 9), rng.randint(10, 999))) * 10 ** rng.randint(0, length - 1), top)
    digits = [rng.randint(0, 9) for _ in range(length)]
    if kind < 0.5:  # scattered zeros
        blank = rng.random()
        digits = [0 if rng.random() < blank else d for d in digits]
    elif kind < 0.65:  # a run of zeros
        first, last = sorted((rng.randint(0, length), rng.randint(0, length)))
        digits[first:last] = [0] * (last - first)
    digits[0] = digits[0] or rng.randint(1, 9)
    return min(int("".join(map(str, digits))), top)


def spoken_digits(text, style):
    return " ".join("oh" if c == "0" and style.oh else UNITS[int(c)] for c in text)


def draw_decimal(rng, style, top):
    """Returns (words, Chinese) of a number with one to six decimals."""
    whole = draw_cardinal(rng, top)
    digits = "0123456789" if rng.random() < 0.75 else rng.sample("0123456789", 2)  # repeated digits are hard to copy
    fraction = "".join(rng.choice(digits) for _ in range(rng.choice((1, 1, 2, 2, 2, 3, 3, 4, 5, 6))))
    words = "" if whole == 0 and rng.random() < 0.4 else cardinal(whole, style) + " "
    return words + "point " + spoken_digits(fraction, style), zh_cardinal(whole) + "点" + zh_digits(fraction)


# ---- Phrases: each returns (words, Chinese) -----------------------------------------------------------------------------


def sign(rng, chance):
    return (rng.choice(("minus ", "negative ")), "负") if rng.random() < chance else ("", "")


def phrase_cardinal(rng, style):
    n = draw_cardinal(rng)
    words, zh = sign(rng, 0.06 if n else 0)
    return words + cardinal(n, style), zh + zh_cardinal(n)


def phrase_ordinal(rng, style):
    n = max(1, draw_cardinal(rng, rng.choice((31, 999, 99_999, 9_999_999))))
    text = ordinal(n, style)
    if text.startswith("a "):  # "a hundredth" is a fraction; "the hundredth" is not
        return "the " + text[2:], "第" + zh_cardinal(n)
    return ("the " if rng.random() < 0.6 else "") + text, "第" + zh_cardinal(n)


def phrase_decimal(rng, style):
    words, zh = sign(rng, 0.08)
    number, zh_number = draw_decimal(rng, style, rng.choice((9, 99, 9999, MAX_CARDINAL)))
    return words + number, zh + zh_number


def phrase_percent(rng, style):
    words, zh = sign(rng, 0.05)
    if rng.random() < 0.5:
        number, zh_number = draw_decimal(rng, style, rng.choice((9, 99, 999)))
    else:
        n = rng.choice((rng.randint(1, 100), rng.randint(1, 100), rng.randint(1, 1000), draw_cardinal(rng, 99_999), 100)) or 1
        number, zh_number = cardinal(n, style), "百" if n == 100 else zh_cardinal(n)
    return words + number + rng.choice((" percent", " per cent")), zh + "百分之" + zh_number


def draw_year(rng):
    return rng.choice((rng.randint(1001, 2099), rng.randint(1800, 2099), rng.randint(1950, 2039), rng.randint(2000, 2009)))


def year_words(rng, year, style):
    century, rest = divmod(year, 100)
    pair = below_hundred(century, style) + " " + (below_hundred(rest, style) if rest > 9 else "oh " + UNITS[rest])
    if century == 20:
        return pair if rest and rng.random() < (0.5 if rest > 9 else 0.2) else cardinal(year, style)
    if rest and (century == 10 or rng.random() < 0.8):
        return pair
    return below_hundred(century, style) + " hundred" + (" and " + below_hundred(rest, style) if rest else "")


def phrase_year(rng, style):
    """Alone, only a pair from "thirteen oh one" on is a year: "twelve thirty" is a time and "nineteen hundred" a number."""
    year = draw_year(rng)
    style.article = style.commas = style.hundreds = False
    kind = rng.random()
    if kind < 0.4:
        year = max(year, 1301)
        century, rest = divmod(year + (year % 100 == 0), 100)
        tail = below_hundred(rest, style) if rest > 9 else "oh " + UNITS[rest]
        return below_hundred(century, style) + " " + tail, zh_year(century * 100 + rest)
    words = cardinal(year, style) if kind > 0.85 else year_words(rng, year, style)
    lead = rng.choice(("the year ", "in the year ")) if kind > 0.65 else "in "
    return lead + words, zh_year(year)


def phrase_date(rng, style):
    style.article = style.commas = style.hundreds = False
    kind, month, year = rng.random(), rng.randint(1, 12), draw_year(rng)
    name, zh_month = MONTHS[month - 1], zh_cardinal(month) + "月"
    if kind < 0.004:
        return name, zh_month
    if kind < 0.008:
        weekday = rng.randrange(7)
        return rng.choice(("", "on ")) + WEEKDAYS[weekday], ZH_WEEKDAYS[weekday]
    if kind < 0.1:
        return rng.choice(("", "", "in ")) + name + " " + year_words(rng, year, style), zh_year(year) + zh_month
    with_year = rng.random() < 0.65
    last = calendar.monthrange(year if with_year else 2000, month)[1]
    day = rng.randint(1, last)
    tail = year_words(rng, year, style) if with_year else ""
    if kind < 0.45:
        words = rng.choice(("the ", "the ", "")) + ordinal(day, style) + " of " + name
    elif kind < 0.75 or (day in (20, 30) and tail.startswith("two")):  # "march twenty two thousand" would mislead
        words = name + rng.choice((" the ", " ")) + ordinal(day, style)
    else:
        words = name + " " + below_hundred(day, style)
    words += (rng.choice((", ", " ")) + tail) if tail else ""
    zh = (zh_year(year) if with_year else "") + zh_month + zh_cardinal(day) + "日"
    if rng.random() < 0.35:
        weekday = rng.randrange(7)
        words = WEEKDAYS[weekday] + rng.choice((", ", " ")) + words
        zh += ZH_WEEKDAYS[weekday]
    return rng.choice(("", "", "", "on ")) + words, zh


def military(rng, style):
    hour, minute = rng.randint(0, 23), rng.choice((0, rng.randint(1, 59), rng.randint(1, 59)))
    lead = ("oh " if style.oh else "zero ") + (UNITS[hour] + " " if hour else "") if hour < 10 else below_hundred(hour, style) + " "
    if minute == 0:
        tail = "hundred"
    else:
        tail = below_hundred(minute, style) if minute > 9 else ("oh " if style.oh else "zero ") + UNITS[minute]
    return lead + tail + " hours", zh_clock(hour, minute)


def phrase_time(rng, style):
    kind, hour = rng.random(), rng.randint(1, 12)
    before = (hour + 10) % 12 + 1
    lead = "at " if rng.random() < 0.2 else ""
    period, zh_period = rng.choice(PERIODS) if rng.random() < 0.55 else ("", "")
    if kind < 0.03:
        words, zh = rng.choice(NAMED_TIMES)
        return lead + words, zh
    if kind < 0.13:
        words, zh = military(rng, style)
        return lead + words, zh
    minute = rng.choice((5 * rng.randint(1, 5), rng.randint(1, 29)))
    spoken = below_hundred(minute, style)
    if minute % 5 or rng.random() < 0.3:
        spoken += " minute" if minute == 1 else " minutes"
    if kind < 0.22:
        words, zh = UNITS[hour] + rng.choice((" o'clock", " o'clock", " o'clock", " oclock")), zh_clock(hour, 0)
    elif kind < 0.3:
        words, zh = "half past " + UNITS[hour], zh_clock(hour, 0) + "半"
    elif kind < 0.36:
        words, zh = rng.choice(("", "a ")) + "quarter " + rng.choice(("past ", "after ")) + UNITS[hour], zh_clock(hour, 15)
    elif kind < 0.42:
        words = rng.choice(("", "a ")) + "quarter " + rng.choice(("to ", "to ", "till ", "before ")) + UNITS[hour]
        zh = zh_clock(before, 45)
    elif kind < 0.55:
        words, zh = spoken + rng.choice((" past ", " past ", " after ")) + UNITS[hour], zh_clock(hour, minute)
    elif kind < 0.68:
        words, zh = spoken + rng.choice((" to ", " to ", " till ", " before ")) + UNITS[hour], zh_clock(before, 60 - minute)
    elif kind < 0.75 and period:
        words, zh = UNITS[hour], zh_clock(hour, 0)
    else:
        minute = rng.randint(1, 59)
        words = UNITS[hour] + " " + (below_hundred(minute, style) if minute > 9 else "oh " + UNITS[minute])
        zh = zh_clock(hour, minute)
    return lead + words + (" " + period if period else ""), zh_period + zh


def phrase_price(rng, style):
    unit = rng.choice(CURRENCIES)
    kind, n = rng.random(), rng.choice((rng.randint(0, 20), rng.randint(1, 100), draw_cardinal(rng, 9999), draw_cardinal(rng)))
    words = "a" if n == 1 and style.article else cardinal(n, style)
    words += " " + unit[n != 1]
    zh = zh_count(n) + unit[2]
    if kind < 0.12:
        number, zh_number = draw_decimal(rng, style, rng.choice((9, 99, 9999)))
        return number + " " + unit[1], zh_number + unit[2]
    if unit[0] == "yuan":  # jiao and fen are single digits
        jiao = rng.choice((0, rng.randint(1, 9)))
        fen = jiao and rng.choice((0, rng.randint(1, 9)))  # 五元零二分 would need a rule of its own
        for part, name, zh_name in ((jiao, "jiao", "角"), (fen, "fen", "分")):
            if part and kind < 0.6:
                words += " " + UNITS[part] + " " + name
                zh += zh_count(part) + zh_name
    elif len(unit) > 3:
        part = rng.randint(1, 99)
        part_name = " " + unit[3 if part == 1 else 4]
        zh_part = zh_count(part) + unit[5]
        if kind < 0.2:  # the small coin alone; a bare cent is a dollar's
            return below_hundred(part, style) + (" euro" if unit[0] == "euro" else "") + part_name, zh_part
        if kind < 0.55:
            return words + rng.choice((" and ", " ")) + below_hundred(part, style) + part_name, zh + zh_part
        if kind < 0.75 and part > 9:  # "five dollars ninety-nine"
            return words + " " + below_hundred(part, style), zh + zh_part
    return words, zh


CATEGORIES = (("cardinal", 26, phrase_cardinal), ("ordinal", 9, phrase_ordinal), ("decimal", 10, phrase_decimal),
              ("percent", 9, phrase_percent), ("year", 4, phrase_year), ("date", 17, phrase_date), ("time", 11, phrase_time),
              ("price", 14, phrase_price))
WEIGHTS = tuple(weight for _, weight, _ in CATEGORIES)
# Twice the decimals in training: copying a run of digits is what is learnt last.
TRAINING_WEIGHTS = tuple(weight * (2 if name == "decimal" else 1) for name, weight, _ in CATEGORIES)


# ---- The tokens, the split and the streams ------------------------------------------------------------------------------


def normalise(phrase):
    """The source tokens. Lower case; hyphen and comma are spaces; other punctuation goes, but not the apostrophe in a word."""
    text = phrase.lower()
    out = []
    for i, c in enumerate(text):
        if c in "-,":
            out.append(" ")
        elif c == "'" and text[i - 1 : i].isalnum() and text[i + 1 : i + 2].isalnum():
            out.append(c)
        elif not ("!" <= c <= "/" or ":" <= c <= "@" or "[" <= c <= "`" or "{" <= c <= "~"):
            out.append(c)
    return "".join(out).split()


def is_held_out(tokens):
    """By the words alone, so that no seed moves a phrase across. Phrases of one or two words are never held out: in those
    a word may have a sense of its own ("noon"), which nothing else could teach."""
    if len(tokens) < 3:
        return False
    digest = hashlib.sha256(" ".join(tokens).encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELDOUT_ONE_IN == 0


def capitalise(rng, phrase):
    """As people write: "Monday, the third of June". The tokens do not see it."""
    if rng.random() < 0.5:
        return phrase
    return " ".join(w.capitalize() if w.strip(",") in WEEKDAYS + MONTHS else w for w in phrase.split(" "))


def generate(rng, weights=WEIGHTS):
    """One phrase: (phrase, answer, category)."""
    name, _, make = rng.choices(CATEGORIES, weights=weights)[0]
    phrase, answer = make(rng, Style(rng))
    return phrase, answer, name


def training_pairs(seed):
    """Endless (tokens, answer), never one that is held out."""
    rng = random.Random(seed)
    while True:
        phrase, answer, _ = generate(rng, TRAINING_WEIGHTS)
        tokens = normalise(phrase)
        if not is_held_out(tokens):
            yield tokens, answer


def heldout(count, seed=HELDOUT_SEED):
    """The first `count` different held-out phrases of a seed: a shorter list is the start of a longer one."""
    rng, seen, rows = random.Random(seed), set(), []
    while len(rows) < count:
        phrase, answer, name = generate(rng)
        tokens = normalise(phrase)
        key = " ".join(tokens)
        if is_held_out(tokens) and key not in seen:
            seen.add(key)
            rows.append((capitalise(rng, phrase), answer, name))
    return rows


def source_vocabulary():
    numbers = UNITS + TENS[2:] + ["hundred", "thousand", "million"]
    ordinals = [ORDINALS.get(w, w[:-1] + "ieth" if w.endswith("y") else w + "th") for w in numbers[1:]]
    other = ("a and at on in of the year oh point minus negative percent per cent past after to till before half quarter "
             "minute minutes o'clock oclock noon midnight hours morning afternoon evening night am pm m p jiao fen").split()
    money = [w for unit in CURRENCIES for w in unit if w.isascii()]
    return list(SPECIALS) + list(dict.fromkeys(numbers + ordinals + MONTHS + WEEKDAYS + other + money))


def target_vocabulary():
    money = "".join(name for unit in CURRENCIES for name in unit if not name.isascii())
    text = ZH_DIGITS + "两十百千万亿〇第负点半分年月日星期上下正午晚夜里角" + money + "之"
    return list(SPECIALS) + list(dict.fromkeys(text))


# ---- Checks -------------------------------------------------------------------------------------------------------------

VERIFIED = """
zero = 零
ten = 十
twelve = 十二
twenty = 二十
one hundred and ten = 一百一十
a hundred and five = 一百零五
two hundred = 二百
two thousand and two = 二千零二
twelve hundred = 一千二百
nineteen hundred and five = 一千九百零五
ten thousand = 一万
ten thousand and twelve = 一万零一十二
twelve thousand three hundred and five = 一万二千三百零五
one hundred thousand five hundred = 十万零五百
a hundred and five thousand = 十万五千
one hundred and twenty thousand and thirty = 十二万零三十
one million five thousand = 一百万五千
three million, two hundred thousand and one = 三百二十万零一
ten million ten thousand and ten = 一千零一万零一十
one hundred million = 一亿
one hundred million fifty thousand = 一亿零五万
one hundred million three thousand = 一亿零三千
one hundred and twenty million three thousand = 一亿二千万三千
one hundred and twenty million and three = 一亿二千万零三
one hundred and two million thirty thousand = 一亿零二百零三万
Nine Hundred and Ninety-Nine Million, nine hundred and ninety-nine thousand, nine hundred and ninety-nine = 九亿九千九百九十九万九千九百九十九
minus five = 负五
negative two hundred six = 负二百零六
the twenty-first = 第二十一
the second = 第二
fortieth = 第四十
the hundredth = 第一百
the one thousand two hundred and twelfth = 第一千二百一十二
three point one four = 三点一四
point five = 零点五
two point oh five = 二点零五
minus zero point zero two = 负零点零二
twenty-five percent = 百分之二十五
one hundred per cent = 百分之百
two point five percent = 百分之二点五
minus two percent = 负百分之二
nineteen ninety-seven = 一九九七年
twenty oh five = 二〇〇五年
the year two thousand = 二〇〇〇年
in nineteen hundred and five = 一九〇五年
the fourteenth of march nineteen ninety-seven = 一九九七年三月十四日
march the fourteenth nineteen ninety-seven = 一九九七年三月十四日
the fourteenth of march = 三月十四日
march fourteen two thousand and five = 二〇〇五年三月十四日
march twenty twenty = 二〇二〇年三月
march twenty twenty twenty = 二〇二〇年三月二十日
monday the third of june = 六月三日星期一
On Sunday, the twenty-second of February, two thousand and two = 二〇〇二年二月二十二日星期日
half past three = 三点半
half past two = 两点半
a quarter to six = 五点四十五分
a quarter to one = 十二点四十五分
ten past nine in the morning = 上午九点十分
five to three = 两点五十五分
two minutes past two = 两点零二分
seven thirty p m = 下午七点三十分
seven oh five p.m. = 下午七点零五分
at two o'clock in the afternoon = 下午两点
fourteen thirty hours = 十四点三十分
oh two hundred hours = 两点
midnight = 午夜
five dollars and ninety-nine cents = 五美元九十九美分
two dollars = 两美元
twelve dollars two cents = 十二美元两美分
a pound fifty = 一英镑五十便士
two million euros = 二百万欧元
two euros and one cent = 两欧元一欧分
one penny = 一便士
ninety-nine cents = 九十九美分
two point five dollars = 二点五美元
five yuan two jiao = 五元两角
a hundred yen = 一百日元
"""


def verified_pairs():
    return [tuple(line.split(" = ")) for line in VERIFIED.strip().splitlines()]


def check(count=100_000):
    """Fails with an AssertionError that shows the phrase."""
    import numbers_en_zh_oracle as oracle

    source, target = set(source_vocabulary()), set(target_vocabulary())
    for phrase, answer in verified_pairs():
        assert oracle.readings(normalise(phrase)) == {answer}, (phrase, answer, oracle.readings(normalise(phrase)))
        assert source.issuperset(normalise(phrase)) and target.issuperset(answer), phrase
    assert normalise("Half-past 'three' o'clock, p.m.!") == ["half", "past", "three", "o'clock", "pm"]
    rng, answers, seen_words, seen_characters = random.Random(7), {}, set(), set()
    for _ in range(count):
        n = draw_cardinal(rng)
        assert zh_cardinal(n) == oracle.zh(n), n
        phrase, answer, name = generate(rng)
        tokens = normalise(phrase)
        assert oracle.readings(tokens) == {answer}, (name, phrase, answer, oracle.readings(tokens))
        assert answers.setdefault(" ".join(tokens), answer) == answer, phrase
        seen_words.update(tokens)
        seen_characters.update(answer)
    assert seen_words == source - set(SPECIALS) and seen_characters == target - set(SPECIALS)
    assert heldout(50) == heldout(60)[:50] and all(is_held_out(normalise(phrase)) for phrase, _, _ in heldout(50))
    assert not any(is_held_out(tokens) for tokens, _ in itertools.islice(training_pairs(1), 2000))
    print(f"{len(verified_pairs())} verified pairs, {count} phrases ({len(answers)} different) with one reading each")


def write_vocabularies(folder):
    for name, tokens in (("source", source_vocabulary()), ("target", target_vocabulary())):
        with open(os.path.join(folder, name + ".vocab.txt"), "w", encoding="utf-8", newline="\n") as f:
            f.writelines(token + "\n" for token in tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--heldout", nargs=2, metavar=("COUNT", "OUT.tsv"))
    parser.add_argument("--sample", type=int, metavar="COUNT")
    parser.add_argument("--vocab", metavar="DIR")
    args = parser.parse_args()
    if args.check:
        check()
    if args.heldout:
        with open(args.heldout[1], "w", encoding="utf-8", newline="\n") as f:
            f.writelines("\t".join(row) + "\n" for row in heldout(int(args.heldout[0])))
    if args.sample:
        rng = random.Random()
        for _ in range(args.sample):
            print("\t".join(generate(rng)))
    if args.vocab:
        write_vocabularies(args.vocab)


if __name__ == "__main__":
    main()
