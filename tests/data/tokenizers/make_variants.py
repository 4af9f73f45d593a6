"""Fills the cases of variants.json with what the Hugging Face tokenizers library makes of hard texts.

usage: make_variants.py        In this folder. Each variant is a base (bpe, llama, unigram, wordpiece) with parts of its tokenizer.json
set to something else; a case is {"text", "pair", "ids", "spans" (bytes), "decoded"}, special tokens added.
"""
import json
import random

from tokenizers import Tokenizer

FIXED = ["Hello  World! it's 3.14, na\u00efve caf\u00e9\n\n  \u65e5\u672c \u0415\u0449\u0451 1234567 \u00a0x", "  The and THE'LL \U0001f600\u200d e\u0301 \ufb01\u2460\u0130\u1e9b\ufe0f\t<pad>[SEP] Qthe Qab"]
BLOCKS = [(32, 126)] * 8 + [(0, 32), (127, 591), (880, 1279), (1424, 1791), (2304, 2431), (8192, 8303), (8448, 8591), (12288, 12543),
                            (19968, 20223), (44032, 44200), (65280, 65519), (127744, 128591)]


def text(rnd):
    return "".join(rnd.choice(["the ", " of", "'s", "  ", "\n"]) if rnd.random() < 0.3 else chr(rnd.randint(*rnd.choice(BLOCKS))) for _ in range(rnd.randint(2, 14)))


def spans(encoding, sources):
    for (a, b), s in zip(encoding.offsets, encoding.sequence_ids):
        yield [0, 0] if s is None else [len(sources[s][:a].encode()), len(sources[s][:b].encode())]


rnd = random.Random(7)
variants = json.load(open("variants.json", encoding="utf-8"))
for v in variants:
    t = json.load(open(v["base"] + "/tokenizer.json", encoding="utf-8"))
    for key, value in v["set"].items():
        if key == "added_tokens":
            t[key] += value
        elif key == "model":
            for k, x in value.items():
                t["model"].pop(k, None) if x is None and k in ("continuing_subword_prefix", "max_input_chars_per_word") else t["model"].__setitem__(k, x)
        else:
            t[key] = value
    tok = Tokenizer.from_str(json.dumps(t))
    v["cases"] = []
    for i, x in enumerate(FIXED + [text(rnd)]):
        pair = text(rnd) if i == 2 else None
        e = tok.encode(x, pair)
        case = dict(text=x, pair=pair, ids=e.ids, spans=list(spans(e, [x, pair])))
        try:
            case["decoded"] = tok.decode(e.ids, skip_special_tokens=False)
        except BaseException:  # a panic of the library
            pass
        v["cases"].append(case)
with open("variants.json", "w", encoding="utf-8") as f:
    f.write("[\n" + ",\n".join(json.dumps(v, separators=(",", ":"), ensure_ascii=False) for v in variants) + "\n]\n")
