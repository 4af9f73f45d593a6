#!/usr/bin/env python3
"""Expected results of the commands on texts: texts/cases.json, read by tests/test_texts.c.

usage: make_text_cases.py DATA > cases.json         (Hugging Face Transformers 5 with torch; DATA: this folder)
The tiny BERTs of reference/ get the vocabulary texts/vocab.txt and labels; that library's pipelines say what comes out.
"""
import json, os, shutil, sys, tempfile
import torch, transformers
from transformers import AutoTokenizer, pipeline

DATA = sys.argv[1]
TEXTS = ["the city of abc", "The City, of ZZtop.", "Élan in Zürich; naïve", "x", "one two three four five six seven eight nine ten", "a 🙂 b\u00a0c",
         "walking, talking: the city of being", "  spaces   and\ttabs "]
OTHER = ["B-LOC", "PER", "B-MISC", "I-PER", "O", "B-PER", "I-LOC", "O", "I-MISC"]  # the model's favourite, 3, joins
TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "PLAIN", "B-MISC"]


def folder(name, **changes):
    to = tempfile.mkdtemp()
    shutil.copy(f"{DATA}/reference/{name}/model.safetensors", to)
    shutil.copy(f"{DATA}/texts/vocab.txt", to)
    config = json.load(open(f"{DATA}/reference/{name}/config.json"))
    config.update(changes)
    json.dump(config, open(f"{to}/config.json", "w"))
    return to


def run(task, path, **options):
    return pipeline(task, model=path, tokenizer=AutoTokenizer.from_pretrained(path), device="cpu", **options)


def scores(result):
    return {r["label"]: r["score"] for r in (result[0] if isinstance(result[0], list) else result)}


out = {"texts": TEXTS}
names = {str(i): n for i, n in enumerate(["bad", "so-so", "good"])}
ids = {n: i for i, n in enumerate(["bad", "so-so", "good"])}
for kind in ("single_label_classification", "multi_label_classification", "regression"):
    p = run("text-classification", folder("bert-classify", id2label=names, label2id=ids, problem_type=kind), top_k=None)
    out[kind] = [scores(p(t)) for t in TEXTS]
p = run("text-classification", folder("bert-classify", id2label=names, label2id=ids), top_k=None)
out["pair"] = scores(p({"text": TEXTS[0], "text_pair": TEXTS[1]}))
for key, names in (("tags", TAGS), ("other tags", OTHER)):
    p = run("token-classification", folder("bert-ner", id2label={str(i): t for i, t in enumerate(names)}), aggregation_strategy="first", ignore_labels=["O"])
    out[key] = [[[r["start"], r["end"], r["entity_group"], float(r["score"])] for r in p(t)] for t in TEXTS]
p = run("fill-mask", folder("bert-mlm"), top_k=4)
one, two = p("the [MASK] of abc"), p("[MASK] city [MASK] xyz")
out["fill"] = [dict(text="the [MASK] of abc", masks=[[[r["token"], r["score"]] for r in one]]),
               dict(text="[MASK] city [MASK] xyz", masks=[[[r["token"], r["score"]] for r in m] for m in two])]
path = folder("bert-base")
tok, model = AutoTokenizer.from_pretrained(path), transformers.AutoModel.from_pretrained(path).eval()
out["embed"] = []
with torch.no_grad():
    for t in TEXTS[:4]:
        h = model(**tok(t, return_tensors="pt")).last_hidden_state[0]
        out["embed"].append(dict(mean=h.mean(0).tolist(), cls=h[0].tolist(), last=h[-1].tolist()))


def rounded(v):
    if isinstance(v, float):
        return float(f"{v:.7g}")
    return {k: rounded(x) for k, x in v.items()} if isinstance(v, dict) else [rounded(x) for x in v] if isinstance(v, list) else v


print(json.dumps(rounded(out), ensure_ascii=False))
