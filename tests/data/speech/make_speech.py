#!/usr/bin/env python3
"""Makes a random Whisper of one-second windows with every file that such a checkpoint has, and what Hugging Face's
WhisperForConditionalGeneration.generate says of sounds made from chirp.wav (expected.json). Usage: make_speech.py CHIRP.WAV OUT_FOLDER [SEED]"""
import json, sys, wave
import numpy as np
import torch
import transformers as tf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

chirp_path, out = sys.argv[1], sys.argv[2]
seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
N_TEXT, LANGUAGES, STEPS = 300, ["en", "de", "fr", "yue"], 51

# A tokenizer of all bytes and a few merges; then the special tokens in Whisper's order.
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
vocab = {c: i for i, c in enumerate(alphabet)}
merges = []
for a in "Ġtheaoinsr":
    for b in "theaoin":
        if len(vocab) < N_TEXT and a + b not in vocab:
            vocab[a + b] = len(vocab)
            merges.append((a, b))
tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tok.decoder = decoders.ByteLevel()
special = ["<|endoftext|>", "<|startoftranscript|>"] + [f"<|{c}|>" for c in LANGUAGES]
special += ["<|translate|>", "<|transcribe|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
tok.add_special_tokens([AddedToken(t, special=True) for t in special])
tok.add_tokens([AddedToken(f"<|{0.02 * i:.2f}|>", special=False) for i in range(STEPS)])
tok.save(out + "/tokenizer.json")
id_of = {t: tok.token_to_id(t) for t in special}
assert id_of["<|endoftext|>"] == N_TEXT and tok.token_to_id("<|0.00|>") == id_of["<|notimestamps|>"] + 1

V = tok.get_vocab_size()
torch.manual_seed(seed)
c = tf.WhisperConfig(vocab_size=V, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
    encoder_ffn_dim=48, decoder_ffn_dim=48, num_mel_bins=16, max_source_positions=50, max_target_positions=40, pad_token_id=N_TEXT,
    bos_token_id=N_TEXT, eos_token_id=N_TEXT, decoder_start_token_id=N_TEXT + 1, suppress_tokens=None, begin_suppress_tokens=None)
m = tf.WhisperForConditionalGeneration(c).eval()
with torch.no_grad():
    for n, p in m.named_parameters():
        if "norm" in n and n.endswith("weight"): p.copy_(1 + 0.1 * torch.randn_like(p))
        elif p.dim() == 1: p.copy_(0.1 * torch.randn_like(p))
        elif "embed_positions" in n and "encoder" in n: pass
        elif "embed" in n: p.copy_(torch.randn_like(p) * 0.25)
        else: p.copy_(torch.randn_like(p) * 1.6 / np.sqrt(p[0].numel()))
        p.copy_(p.half().float())
g = m.generation_config
g.suppress_tokens, g.begin_suppress_tokens = [1, 2, 7] + [id_of[t] for t in special[1:-1]], [220 % N_TEXT, N_TEXT]
g.no_timestamps_token_id, g.max_initial_timestamp_index, g.prev_sot_token_id = id_of["<|notimestamps|>"], 10, id_of["<|startofprev|>"]
g.is_multilingual, g.max_length = True, 40
g.lang_to_id = {f"<|{l}|>": id_of[f"<|{l}|>"] for l in LANGUAGES}
g.task_to_id = {"transcribe": id_of["<|transcribe|>"], "translate": id_of["<|translate|>"]}
g.pad_token_id = g.bos_token_id = g.eos_token_id = N_TEXT
g.decoder_start_token_id = N_TEXT + 1
m.half().save_pretrained(out)
m.float()
f = tf.WhisperFeatureExtractor(feature_size=16, chunk_length=1)
f.save_pretrained(out)

with wave.open(chirp_path) as w:
    chirp = np.frombuffer(w.readframes(16000), "<i2").astype(np.float32) / 32768

def sound(n):  # the chirp again and again, each half as loud, five times
    return chirp[np.arange(n) % 16000] * (0.5 ** (np.arange(n) // 16000 % 5)).astype(np.float32)

cases = []
for n in (16000, 54400, 83360):
    for options in (dict(), dict(return_timestamps=True), dict(return_timestamps=True, language="fr", task="translate"),
                    dict(return_timestamps=True, condition_on_prev_tokens=True), dict(return_timestamps=True, num_beams=3),
                    dict(return_timestamps=True, num_beams=4, condition_on_prev_tokens=True, max_new_tokens=11)):
        if n > 16000 and not options: continue
        x = f(sound(n), sampling_rate=16000, return_tensors="pt", truncation=False, padding="longest" if n > 16000 else "max_length")
        o = dict(options)
        if "task" not in o: o["task"] = "transcribe"
        r = m.generate(x.input_features, return_segments=True, **o)
        segments = [dict(start=round(float(s["start"]), 4), end=round(float(s["end"]), 4), ids=s["tokens"].tolist()) for s in r["segments"][0]]
        # Times filtered as the library's own decoding does; the tokenizer's own filter leaves them.
        for s in segments: s["text"] = tok.decode([i for i in s["ids"] if i <= g.no_timestamps_token_id], skip_special_tokens=True)
        cases.append(dict(samples=n, options=options, segments=segments))
json.dump(cases, open(out + "/expected.json", "w"), indent=None, separators=(",", ":"))
for k in cases: print(k["samples"], k["options"], len(k["segments"]), [len(s["ids"]) for s in k["segments"]], k["segments"][0]["ids"][:12])
