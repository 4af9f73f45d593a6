"""A second way from the words to Chinese, for the grammar's --check: a parser that knows nothing of the generator.

readings(tokens) returns every Chinese answer that the documented rules allow for a phrase. The check wants exactly one, and
the generator's: that shows at once that the key is right and that no phrase has two meanings.
"""
import re

SMALL = {w: i for i, w in enumerate("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
                                    "fifteen sixteen seventeen eighteen nineteen".split())}
TENS = {w: 10 * i for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
SCALES = {"thousand": 1000, "million": 1000000}
MONTHS = "january february march april may june july august september october november december".split()
WEEKDAYS = dict(zip("monday tuesday wednesday thursday friday saturday sunday".split(), "一二三四五六日"))
IRREGULAR = {"first": "one", "second": "two", "third": "three", "fifth": "five", "eighth": "eight", "ninth": "nine", "twelfth": "twelve"}
PERIODS = {"in the morning": "上午", "in the afternoon": "下午", "in the evening": "晚上", "at night": "夜里",
           "a m": "上午", "am": "上午", "p m": "下午", "pm": "下午"}
NAMED_TIMES = {"noon": "正午", "midnight": "午夜", "twelve noon": "正午十二点", "twelve midnight": "午夜十二点"}
MONEY = {"dollar": "美元", "dollars": "美元", "euro": "欧元", "euros": "欧元", "pound": "英镑", "pounds": "英镑",
         "yen": "日元", "yuan": "元"}
COINS = {"cent": "美分", "cents": "美分", "penny": "便士", "pence": "便士"}
COIN_OF = {"美元": ("cent", "cents", "美分"), "欧元": ("cent", "cents", "欧分"), "英镑": ("penny", "pence", "便士")}


def zh(n):
    """All places written out, then the zeros folded by rewriting."""
    places = ["", "十", "百", "千", "万", "十", "百", "千", "亿"]
    text = "".join("零一二三四五六七八九"[int(d)] + place for d, place in zip(str(n), places[len(str(n)) - 1 :: -1]))
    text = re.sub("零+", "零", re.sub("零[千百十]", "零", text))
    text = re.sub("零+", "零", text.replace("亿零万", "亿零").replace("零万", "万"))
    return re.sub("^一十", "十", text.rstrip("零")) or "零"


def count(n):
    return "两" if n == 2 else zh(n)


def number(words):
    """A cardinal, or None."""
    words = list(words)
    if not words or words[0] == "and" or words[-1] == "and":
        return None
    if words[0] == "a" and words[1:2] and words[1] in ("hundred", "thousand", "million"):
        words[0] = "one"
    words = [w for w in words if w != "and"]
    if words == ["zero"]:
        return 0
    total, part, limit = 0, 0, 10**9
    for w in words:
        if w in TENS and part % 100 == 0:
            part += TENS[w]
        elif SMALL.get(w) and (part % 100 == 0 or part % 100 >= 20 and part % 10 == 0 and SMALL[w] < 10):
            part += SMALL[w]
        elif w == "hundred" and 0 < part < 100 and (part < 10 or part % 10 and not total):
            part *= 100
        elif w in SCALES and 0 < part < 1000 and SCALES[w] < limit:
            limit = SCALES[w]
            total, part = total + part * limit, 0
        else:
            return None
    return total + part


def ordinal(words):
    if not words:
        return None
    last = words[-1]
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith("ieth"):
        last = last[:-4] + "y"
    else:
        last = last[:-2] if last.endswith("th") else ""
    plain = list(words[:-1]) + [last]
    if plain[0] in ("hundred", "thousand", "million"):
        plain.insert(0, "one")
    return None if plain[0] == "a" else number(plain)


def digits(words):
    values = [0 if w == "oh" else SMALL.get(w, 10) for w in words]
    return "".join("零一二三四五六七八九"[v] for v in values) if values and max(values) < 10 else None


def quantity(words):
    """Returns (Chinese, the integer or None for a decimal), or None."""
    if "point" in words:
        at = words.index("point")
        whole, tail = number(words[:at]) if at else 0, digits(words[at + 1 :])
        return None if whole is None or tail is None else (zh(whole) + "点" + tail, None)
    n = number(words)
    return None if n is None else (zh(n), n)


def years(words):
    out = set()
    n = number(words)
    if n is not None and 1001 <= n <= 2099 and words[0] != "a":
        out.add(n)
    if len(words) > 1 and 10 <= (number(words[:1]) or 0) <= 20:
        rest = SMALL.get(words[2], 0) if words[1] == "oh" and len(words) == 3 else number(words[1:])
        if rest and (rest < 10) == (words[1] == "oh") and rest < 100:
            out.add(100 * number(words[:1]) + rest)
    return {"".join("〇一二三四五六七八九"[int(d)] for d in str(y)) + "年" for y in out}


def dates(words):
    out, tail = set(), ""
    if words[:1] == ["on"]:
        words = words[1:]
    if words and words[0] in WEEKDAYS:
        tail, words = "星期" + WEEKDAYS[words[0]], words[1:]
        if not words:
            return {tail}
    month = next((m for m in MONTHS if m in words), None)
    if month is None:
        return out
    zh_month, at = zh(MONTHS.index(month) + 1) + "月", words.index(month)
    before, after = words[:at], words[at + 1 :]
    if before in ([], ["in"]) and not tail:
        out |= {y + zh_month for y in years(after)} | ({zh_month} if not before and not after else set())
    if before[-1:] == ["of"]:
        day_words = before[1:-1] if before[0] == "the" else before[:-1]
        options = [(ordinal(day_words), after)]
    elif before:
        return out
    else:
        options = [(number(after[:i]), after[i:]) for i in range(1, len(after) + 1)]
        if after[:1] == ["the"]:
            after = after[1:]
        options += [(ordinal(after[:i]), after[i:]) for i in range(1, len(after) + 1)]
    for day, rest in options:
        if day and day <= 31:
            out |= {y + zh_month + zh(day) + "日" + tail for y in (years(rest) if rest else {""})}
    return out


def clock(hour, minute):
    return count(hour) + "点" + ("" if not minute else ("零" if minute < 10 else "") + zh(minute) + "分")


def minutes(words):
    """As said after an hour: "oh five", "thirty"."""
    if len(words) == 2 and words[0] in ("oh", "zero"):
        return SMALL.get(words[1], 0) if SMALL.get(words[1], 10) < 10 else None
    n = number(words)
    return n if n and 10 <= n < 60 else None


def military(words):
    out = set()
    for i in range(1, len(words)):
        lead = words[:i]
        if lead[0] in ("oh", "zero"):
            hour = 0 if i == 1 else SMALL.get(lead[1]) if i == 2 and 0 < SMALL.get(lead[1], 10) < 10 else None
        else:
            hour = number(lead)
            hour = hour if hour and 10 <= hour < 24 else None
        minute = 0 if words[i:] == ["hundred"] else minutes(words[i:])
        if hour is not None and minute is not None:
            out.add(clock(hour, minute))
    return out


def times(words):
    words = words[1:] if words[:1] == ["at"] else words
    text, out = " ".join(words), set()
    if text in NAMED_TIMES:
        return {NAMED_TIMES[text]}
    if words[-1:] == ["hours"]:
        return military(words[:-1])
    spoken = next((p for p in PERIODS if text.endswith(" " + p)), "")
    period = PERIODS.get(spoken, "")
    words = words[: len(words) - len(spoken.split())]
    hour = number(words[:1])
    if hour and hour <= 12 and words[0] != "a":
        if words[1:] in (["o'clock"], ["oclock"]) or (period and len(words) == 1):
            out.add(clock(hour, 0))
        elif minutes(words[1:]):
            out.add(clock(hour, minutes(words[1:])))
    hour = number(words[-1:])
    if hour and hour <= 12 and len(words) > 2:
        joint, lead = words[-2], words[:-2]
        before = hour - 1 or 12
        if lead == ["half"] and joint == "past":
            out.add(clock(hour, 0) + "半")
        minute = 15 if lead in (["quarter"], ["a", "quarter"]) else number([w for w in lead if w not in ("minute", "minutes")]) or 60
        if minute < 30 and joint in ("past", "after"):
            out.add(clock(hour, minute))
        if minute < 30 and joint in ("to", "till", "before"):
            out.add(clock(before, 60 - minute))
    return {period + t for t in out}


def prices(words):
    at = next((i for i, w in enumerate(words) if w in MONEY), None)
    if words[-2:-1] == ["euro"] and words[-1] in ("cent", "cents"):
        n = number(words[:-2])
        return {count(n) + "欧分"} if n else set()
    if at is None:
        n = number(words[:-1])
        return {count(n) + COINS[words[-1]]} if words[-1] in COINS and n and n < 100 else set()
    unit, after = MONEY[words[at]], words[at + 1 :]
    amount = ("", 1) if words[:at] == ["a"] else quantity(words[:at])
    if amount is None:
        return set()
    if amount[1] is None:
        return {amount[0] + unit} if not after else set()
    out = count(amount[1]) + unit
    if not after:
        return {out}
    if unit == "元":
        names = {"jiao": "角", "fen": "分"}
        if after[1::2] not in (["jiao"], ["jiao", "fen"]):
            return set()
        return {out + "".join(count(SMALL[w]) + names[u] for w, u in zip(after[::2], after[1::2]))}
    if unit not in COIN_OF:
        return set()
    *names, coin = COIN_OF[unit]
    named = after[-1] in names
    n = number(after[after[0] == "and" : -1] if named else after)
    return {out + count(n) + coin} if n and n < 100 and (named or n > 9) else set()


def readings(words):
    """Every answer the rules allow for these tokens."""
    out = dates(words) | times(words) | prices(words)
    negative = words[0] in ("minus", "negative")
    body = words[1:] if negative else words
    minus = "负" if negative else ""
    percent = 1 if body[-1:] == ["percent"] else 2 if body[-2:] == ["per", "cent"] else 0
    plain = quantity(body[: len(body) - percent])
    if plain:
        out.add(minus + ("百分之" + ("百" if plain[1] == 100 else plain[0]) if percent else plain[0]))
    nth = ordinal(words[1:] if words[0] == "the" else words)
    if nth:
        out.add("第" + zh(nth))
    for lead in (["in"], ["the", "year"], ["in", "the", "year"]):
        if words[: len(lead)] == lead:
            out |= years(words[len(lead) :])
    if number(words) is None and SMALL.get(words[0], TENS.get(words[0], 0)) >= 13:
        out |= years(words)
    return out
