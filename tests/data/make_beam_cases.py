#!/usr/bin/env python3
"""Expected results of beam search: beam_cases.json, read by tests/test_generate.c.

usage: make_beam_cases.py > beam_cases.json         (Debian's python3-torch; no cache, no batching, plain lists)
The search follows the rules of Hugging Face Transformers 5 (num_beams, length_penalty, early_stopping), written down here once
more in plain Python over whole forward passes of torch.nn.Transformer and of a GPT-2 in a few lines.
"""
import json, math, os, random, struct, sys
import torch

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference")
LOW = -1.0e9


def load(name):
    with open(os.path.join(HERE, name, "model.safetensors"), "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header, data = json.loads(f.read(n)), f.read()
    out = {}
    for k, v in header.items():
        if k != "__metadata__":
            a, b = v["data_offsets"]
            out[k] = torch.frombuffer(bytearray(data[a:b]), dtype=torch.float32).reshape(v["shape"])
    return json.load(open(os.path.join(HERE, name, "config.json"))), out


def gpt2():
    c, w = load("gpt2")
    h, eps = c["n_head"], c["layer_norm_epsilon"]
    f = torch.nn.functional

    def lin(x, name):
        return x @ w[name + ".weight"] + w[name + ".bias"]

    def norm(x, name):
        return f.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], eps)

    def last_logits(source, ids):
        t = len(ids)
        x = w["transformer.wte.weight"][torch.tensor(ids)] + w["transformer.wpe.weight"][:t]
        mask = torch.full((t, t), float("-inf")).triu(1)
        for i in range(c["n_layer"]):
            p = f"transformer.h.{i}."
            q, k, v = (y.reshape(t, h, -1).transpose(0, 1) for y in lin(norm(x, p + "ln_1"), p + "attn.c_attn").chunk(3, -1))
            a = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + mask, -1) @ v
            x = x + lin(a.transpose(0, 1).reshape(t, -1), p + "attn.c_proj")
            y = lin(norm(x, p + "ln_2"), p + "mlp.c_fc")
            y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y ** 3)))
            x = x + lin(y, p + "mlp.c_proj")
        return norm(x, "transformer.ln_f")[-1] @ w["transformer.wte.weight"].T
    return c["vocab_size"], c["vocab_size"], last_logits


def transformer():
    c, w = load("transformer")
    n, layers = c["d_model"], (c["num_encoder_layers"], c["num_decoder_layers"])
    m = torch.nn.Transformer(n, c["nhead"], *layers, c["dim_feedforward"], dropout=0.0, batch_first=True).eval()
    m.load_state_dict({k[len("transformer."):]: v for k, v in w.items() if k.startswith("transformer.")})

    def embed(table, ids):
        t = torch.arange(len(ids), dtype=torch.float32)[:, None]
        r = torch.exp(torch.arange(0, n, 2, dtype=torch.float32) * (-math.log(10000.0) / n))
        p = torch.zeros(len(ids), n)
        p[:, 0::2], p[:, 1::2] = (t * r).sin(), (t * r).cos()
        return (w[table][torch.tensor(ids)] * math.sqrt(n) + p)[None]

    def last_logits(source, ids):
        mask = torch.full((len(ids),) * 2, float("-inf")).triu(1)
        y = m(embed("src_embed.weight", source), embed("tgt_embed.weight", ids), tgt_mask=mask)
        return y[0, -1] @ w["generator.weight"].T + w["generator.bias"]
    return c["src_vocab_size"], c["vocab_size"], last_logits


RULES = ("heuristic", "early", "never", "first k", "kept", "penalty")


def search(last_logits, vocab, case, without=None):
    """running: [score, new ids]; finished: [score, new ids, is finished]. Best first, ties in order.
    without: one of RULES, which is then broken, to find the cases that tell."""
    k, eos, most, early = case["k"], case["eos"], case["max_new"], case["early_stopping"]
    penalty = 1.0 if without == "penalty" else case["length_penalty"]
    source, prompt = (case["ids"], [1]) if case["model"] == "transformer" else (None, case["ids"])
    running = [[0.0 if i == 0 else LOW, []] for i in range(k)]
    finished = [[LOW, [], False] for _ in range(k)]
    can_improve, length = True, 0
    while True:
        every = []
        for score, ids in running:
            every += [(score + p, ids + [v]) for v, p in enumerate(torch.log_softmax(last_logits(source, prompt + ids), -1).tolist())]
        best = sorted(every, key=lambda e: -e[0])[: max(2, 1 if without == "kept" else 1 + len(eos)) * k]
        ends = [ids[-1] in eos or length + 1 >= most for _, ids in best]
        going = [(s + (LOW if e else 0.0), ids) for (s, ids), e in zip(best, ends)]
        full = early == 1 and without != "early" and all(f[2] for f in finished)
        done = []
        for i, ((s, ids), e) in enumerate(zip(best, ends)):
            counts = e and (i < k or without == "first k")
            done.append([s / (length + 1) ** penalty + LOW * (full + (not can_improve) + (not counts)), ids, counts])
        running = [list(g) for g in sorted(going, key=lambda g: -g[0])[:k]]
        finished = sorted(finished + done, key=lambda f: -f[0])[:k]
        length += 1
        reach = most if early == 2 and penalty > 0 and without != "never" else length
        worst = min(f[0] for f in finished)
        can_improve = without == "heuristic" or can_improve and any(running[0][0] / reach ** penalty > (worst if f[2] else LOW) for f in finished)
        if not can_improve or all(ends) or (early == 1 and without != "early" and all(f[2] for f in finished)):
            return finished[0]


def draw(name, source_vocab, vocab):
    return dict(model=name, ids=[random.randrange(3, source_vocab) for _ in range(random.randint(2, 9))],
                eos=random.sample(range(3, vocab), random.choice([0, 1, 4, 8, 8])), k=random.choice([2, 3, 4, 6]),
                length_penalty=random.choice([1.0, 1.0, 0.0, 2.0, 0.6, -1.0]), early_stopping=random.randrange(3),
                max_new=random.choice([1, 4, 8, 12]))


random.seed(5)
cases = []
for name, make in (("gpt2", gpt2), ("transformer", transformer)):
    source_vocab, vocab, last_logits = make()
    told = {rule: 0 for rule in RULES}
    plain = 0
    with torch.no_grad():
        while plain < 10 or min(n for rule, n in told.items() if rule != "first k" and rule != "kept") < 4:
            case = draw(name, source_vocab, vocab)
            score, ids, _ = search(last_logits, vocab, case)
            rules = [r for r in RULES if told[r] < 4 and search(last_logits, vocab, case, r)[1] != ids]
            if not rules and plain == 10:
                continue
            plain += not rules
            for r in rules:
                told[r] += 1
            cases.append(dict(case, expected=ids, score=round(score, 5)))
    print(name, told, file=sys.stderr)
print("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]")
