#!/usr/bin/env python3
"""Vectors of texts from models that are no plain encoders, one text at a time: texts/embed.json, read by tests/test_embed.c.
Encoder-decoders: the mean of the encoder's last states. CLIP: the text's projection, of length 1, as it compares them.

usage: make_embed_cases.py DATA > embed.json      (Hugging Face Transformers 5 with torch and sentencepiece; DATA: this folder)
"""
import json, os, sys
import torch, transformers as hf

DATA = sys.argv[1]
TEXTS = ["The old ferry leaves at seven.", "bread", "a dog and a cat", "Why  wait? 12 boxes \u2014 na\u00efve"]
SHORT = ["a photo of a cat", "dog", "a red dog on a"]  # 16 positions


def vectors(name, model, tokenizer, texts, embed):
    with torch.no_grad():
        rows = [embed(model.eval(), tokenizer(t, return_tensors="pt"))[0].tolist() for t in texts]
    return {"model": name, "texts": texts, "vectors": [[float(f"{x:.8g}") for x in r] for r in rows]}


def mean_of_encoder(model, inputs):
    return model.get_encoder()(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state.mean(1)


def text_features(model, inputs):
    x = model.text_projection(model.text_model(inputs["input_ids"], inputs["attention_mask"]).pooler_output)
    return x / x.norm(dim=-1, keepdim=True)


def place(name):
    return os.path.join(DATA, name)


marian = hf.MarianTokenizer(source_spm=place("translate/marian/source.spm"), target_spm=place("translate/marian/target.spm"),
                            vocab=place("translate/marian/vocab.json"))
m2m100 = hf.M2M100Tokenizer.from_pretrained(place("translate/m2m100"), src_lang="en")
out = [vectors("translate/t5", hf.T5ForConditionalGeneration.from_pretrained(place("translate/t5")),
               hf.T5Tokenizer.from_pretrained(place("translate/t5"), extra_ids=100), TEXTS, mean_of_encoder),
       vectors("translate/marian", hf.MarianMTModel.from_pretrained(place("translate/marian")), marian, TEXTS, mean_of_encoder),
       vectors("translate/m2m100", hf.M2M100ForConditionalGeneration.from_pretrained(place("translate/m2m100")), m2m100, TEXTS,
               mean_of_encoder),
       vectors("examples/match", hf.CLIPModel.from_pretrained(place("examples/match")),
               hf.BertTokenizer(vocab=place("examples/match/vocab.txt")), SHORT, text_features)]
print(json.dumps(out))
