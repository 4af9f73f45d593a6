#!/usr/bin/env python3
"""Expected ids of generation by the rules of generation_config.json: rule_cases.json, read by tests/test_rules.c.

usage: make_rule_cases.py DATA > rule_cases.json         (Hugging Face Transformers 5 with torch; DATA: this folder)
Each rule alone and several together, drawn by chance; cases are kept when the rules change what comes out.
"""
import json, random, sys
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

DATA = sys.argv[1]
random.seed(11)
torch.set_num_threads(1)
V = 61


def ids(n):
    return random.sample(range(3, V), n)


RULES = {
    "repetition_penalty": lambda: random.choice([1.3, 2.0, 0.7]),
    "no_repeat_ngram_size": lambda: random.choice([1, 2, 3]),
    "min_length": lambda: random.choice([6, 9]),
    "min_new_tokens": lambda: random.choice([3, 6]),
    "forced_bos_token_id": lambda: random.randrange(3, V),
    "forced_eos_token_id": lambda: random.choice([2, 7, [2, 9]]),
    "suppress_tokens": lambda: ids(20),
    "begin_suppress_tokens": lambda: ids(30),
}


def generate(model, case):
    encoder_decoder = model.config.is_encoder_decoder
    given = {k: v for k, v in case["config"].items()}
    config = GenerationConfig(do_sample=False, num_beams=case["beams"], max_new_tokens=case["max_new"], **given)
    x = torch.tensor([case["ids"]])
    with torch.no_grad():
        return model.generate(x, attention_mask=torch.ones_like(x), generation_config=config)[0].tolist()


def bad_words(out, n_prompt, eos):
    new = [i for i in out[n_prompt:]]
    words = [[random.choice(new)]]
    if len(new) > 2:
        at = random.randrange(len(new) - 1)
        words.append(new[at:at + 2])
    return [w for w in words if w[0] not in eos]


cases = []
for name, cls in (("gpt2", AutoModelForCausalLM), ("llama", AutoModelForCausalLM), ("bart", AutoModelForSeq2SeqLM), ("m2m100", AutoModelForSeq2SeqLM)):
    model = cls.from_pretrained(f"{DATA}/reference/{name}", torch_dtype=torch.float32).eval()
    model.generation_config = GenerationConfig()
    seq2seq = model.config.is_encoder_decoder
    seen = {}
    for _ in range(60):
        if len(seen) >= len(RULES) + 2 and min(seen.values()) >= 2:
            break
        prompt = [random.randrange(3, V) for _ in range(random.choice([1, 4, 6]))]
        eos = random.choice([2, ids(2) + [2], ids(6)])
        base = {"eos_token_id": eos, "bos_token_id": 1, "pad_token_id": 0}
        if seq2seq:
            base["decoder_start_token_id"] = 0
        case = dict(model=name, ids=prompt, beams=random.choice([1, 1, 3]), max_new=random.choice([5, 9]), config=dict(base))
        if case["beams"] > 1:
            case["config"].update(length_penalty=random.choice([1.0, 0.5, 2.0]), early_stopping=random.choice([False, True]))
        plain = generate(model, case)
        names = random.sample(list(RULES), random.choice([1, 1, 2, 3]))
        for rule in names:
            value = RULES[rule]()  # among several forced ids, equally likely, torch's top-k takes any
            case["config"][rule] = value[0] if rule == "forced_eos_token_id" and case["beams"] > 1 and isinstance(value, list) else value
        if random.random() < 0.25:
            case["config"]["bad_words_ids"] = bad_words(plain, 1 if seq2seq else len(prompt), eos if isinstance(eos, list) else [eos]) or [[5]]
            names.append("bad_words_ids")
        if case["beams"] > 1:
            names.append("beams")
        expected = generate(model, case)
        if expected == plain or all(seen.get(r, 0) >= 4 for r in names):
            continue
        for rule in names:
            seen[rule] = seen.get(rule, 0) + 1
        cases.append(dict(case, expected=expected))
    print(name, seen, file=sys.stderr)
print("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]")
