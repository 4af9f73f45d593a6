#!/usr/bin/env python3
"""Tiny random encoder-decoders with SentencePiece files, and what Hugging Face's generate makes of texts with them:
the folders translate/{marian,m2m100,t5} and translate/cases.json, read by tests/test_translate.c.

usage: make_translate_cases.py OUT          (Hugging Face Transformers 5 with torch and sentencepiece)
"""
import json
import os
import sys

import sentencepiece
import torch
from transformers import (GenerationConfig, M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer,
                          MarianConfig, MarianMTModel, MarianTokenizer, T5Config, T5ForConditionalGeneration,
                          T5Tokenizer)
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

OUT = sys.argv[1]
ENGLISH = """The old ferry leaves at seven and comes back before noon. We carried three wooden boxes up the hill.
Nobody at the station knew why the bells were ringing. She writes short letters, but he reads them slowly.
A grey heron stood in the shallow water, waiting for fish. Please close the window before the rain begins!
How many stones are there in this wall? I'd rather walk than wait for another bus. It costs 12 or 15 crowns.
They sold bread, honey and apples on the square. When the lamp went out, the children began to sing.
""".splitlines()
FRENCH = """Le vieux bac part à sept heures et revient avant midi. Nous avons porté trois caisses en haut de la colline.
Personne à la gare ne savait pourquoi les cloches sonnaient. Elle écrit de courtes lettres, mais il les lit lentement.
Un héron gris se tenait dans l'eau peu profonde. Fermez la fenêtre avant la pluie, s'il vous plaît !
Combien de pierres y a-t-il dans ce mur ? J'aime mieux marcher que d'attendre un autre bus. Cela coûte 12 couronnes.
Ils vendaient du pain, du miel et des pommes sur la place. Quand la lampe s'éteignit, les enfants chantèrent.
""".splitlines()
TEXTS = ["The old ferry leaves at seven.", "bread, honey and apples", "  Why  wait?  ", "12 wooden boxes — naïve 日本",
         "\uff21 \ufb01sh\u2026", "They sing slowly before noon! Nobody knew."]


def pieces(folder, name, lines, size, **more):
    text = os.path.join(folder, "corpus.txt")
    with open(text, "w") as f:
        f.write("\n".join(lines))
    rules = os.path.join(folder, "rules.tsv")
    with open(rules, "w") as f:  # a few of what real files map by the thousand: a dash, wide letters, a ligature
        f.write("2014\t2D\nFF21\t41\nFF22\t42\nFB01\t66 69\n2026\t2E 2E 2E\n")
    path = os.path.join(folder, name)
    sentencepiece.SentencePieceTrainer.train(
        input=text, model_prefix=path + ".tmp", vocab_size=size, model_type="unigram", hard_vocab_limit=False,
        character_coverage=1.0, normalization_rule_tsv=rules, minloglevel=2, **more)
    os.rename(path + ".tmp.model", path)
    os.remove(path + ".tmp.vocab")
    os.remove(text)
    os.remove(rules)
    model = sentencepiece.SentencePieceProcessor(model_file=path)
    return [model.id_to_piece(i) for i in range(model.get_piece_size())]


def random_weights(model, seed):
    torch.manual_seed(seed)
    for name, p in model.named_parameters():
        if "norm" not in name and p.requires_grad:
            torch.nn.init.normal_(p, 0, 0.5)
    return model.eval()


def generate(model, tokenizer, text, beams, **more):
    x = tokenizer([text], return_tensors="pt")
    config = GenerationConfig.from_dict(dict(model.generation_config.to_dict(), num_beams=beams, do_sample=False,
                                             max_new_tokens=14, max_length=None, **more))
    with torch.no_grad():
        ids = model.generate(input_ids=x["input_ids"], attention_mask=x["attention_mask"], generation_config=config)
    return {"source": x["input_ids"][0].tolist(), "ids": ids[0].tolist(),
            "output": tokenizer.decode(ids[0], skip_special_tokens=True)}


def cases(name, model, tokenizer, languages):
    rows = []
    for text in TEXTS:
        for beams in (1, 4):
            for source, target in languages:
                more, given = {}, text
                if name == "marian" and target:
                    given = ">>%s<< %s" % (target, text)
                if name == "m2m100":
                    tokenizer.src_lang = source or "en"
                    if target:
                        more["forced_bos_token_id"] = tokenizer.get_lang_id(target)
                row = {"model": name, "text": text, "beams": beams, "from": source, "to": target}
                row.update(generate(model, tokenizer, given, beams, **more))
                rows.append(row)
    return rows


def marian():
    folder = os.path.join(OUT, "marian")
    os.makedirs(folder, exist_ok=True)
    source = pieces(folder, "source.spm", ENGLISH, 150, bos_id=-1, eos_id=0, unk_id=1)
    target = pieces(folder, "target.spm", FRENCH, 150, bos_id=-1, eos_id=0, unk_id=1)
    words = ["</s>", "<unk>"] + sorted(set(source + target + [">>fra<<", ">>deu<<"]) - {"</s>", "<unk>"}) + ["<pad>"]
    with open(os.path.join(folder, "vocab.json"), "w") as f:
        json.dump({w: i for i, w in enumerate(words)}, f, ensure_ascii=False)
    pad = len(words) - 1
    model = random_weights(MarianMTModel(MarianConfig(
        vocab_size=len(words), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=64, pad_token_id=pad,
        eos_token_id=0, bos_token_id=0, forced_eos_token_id=0, decoder_start_token_id=pad,
        activation_function="swish")), 1)
    model.generation_config = GenerationConfig(pad_token_id=pad, eos_token_id=0, forced_eos_token_id=0,
                                               decoder_start_token_id=pad, bad_words_ids=[[pad]], no_repeat_ngram_size=2)
    model.save_pretrained(folder)
    tokenizer = MarianTokenizer(source_spm=os.path.join(folder, "source.spm"),
                                target_spm=os.path.join(folder, "target.spm"), vocab=os.path.join(folder, "vocab.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"source_lang": "eng", "target_lang": "fra", "tokenizer_class": "MarianTokenizer"}, f)
    return cases("marian", model, tokenizer, [(None, None), (None, "fra")])


def m2m100():
    folder = os.path.join(OUT, "m2m100")
    os.makedirs(folder, exist_ok=True)
    words = pieces(folder, "sentencepiece.bpe.model", ENGLISH + FRENCH, 200)
    words = ["<s>", "<pad>", "</s>", "<unk>"] + [w for w in words if w not in ("<s>", "</s>", "<unk>")]
    with open(os.path.join(folder, "vocab.json"), "w") as f:
        json.dump({w: i for i, w in enumerate(words)}, f, ensure_ascii=False)
    languages = FAIRSEQ_LANGUAGE_CODES["m2m100"]
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"src_lang": "en", "tgt_lang": "fr", "tokenizer_class": "M2M100Tokenizer",
                   "additional_special_tokens": ["__%s__" % code for code in languages]}, f)
    tokenizer = M2M100Tokenizer.from_pretrained(folder)
    model = random_weights(M2M100ForConditionalGeneration(M2M100Config(
        vocab_size=len(words) + 108, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=64)), 2)
    model.generation_config = GenerationConfig(pad_token_id=1, eos_token_id=2, bos_token_id=0, decoder_start_token_id=2,
                                               no_repeat_ngram_size=2,  # ids behind the languages are no words
                                               suppress_tokens=[len(words) + 100 + i for i in range(8)])
    model.save_pretrained(folder)
    return cases("m2m100", model, tokenizer, [(None, "fr"), ("fr", "de")])


def t5():
    folder = os.path.join(OUT, "t5")
    os.makedirs(folder, exist_ok=True)
    words = pieces(folder, "spiece.model", ENGLISH + FRENCH, 200, bos_id=-1, pad_id=0, eos_id=1, unk_id=2)
    tokenizer = T5Tokenizer.from_pretrained(folder, extra_ids=100)
    model = random_weights(T5ForConditionalGeneration(T5Config(
        vocab_size=len(words) + 100, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_decoder_layers=1, num_heads=2,
        decoder_start_token_id=0)), 3)
    model.generation_config = GenerationConfig(pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, no_repeat_ngram_size=2)
    model.save_pretrained(folder)
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"extra_ids": 100, "tokenizer_class": "T5Tokenizer"}, f)
    return cases("t5", model, tokenizer, [(None, None)])


os.makedirs(OUT, exist_ok=True)
rows = []
for make in (marian, m2m100, t5):
    rows += make()
with open(os.path.join(OUT, "cases.json"), "w") as f:
    f.write("[" + ",\n ".join(json.dumps(r, ensure_ascii=False) for r in rows) + "]\n")
