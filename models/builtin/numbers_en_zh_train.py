#!/usr/bin/env python3
"""Trains the built-in model: English number phrases to Chinese, on torch.nn.Transformer (CPU, about half an hour on two cores).

    apt-get install python3-torch libopenblas0-pthread     # the second one makes it 25 times faster
    numbers_en_zh_train.py [--steps 11000] [--out numbers-en-zh] [--log numbers_en_zh_train.log]
    numbers_en_zh_train.py --evaluate                      # only measure what is in the folder

Writes config.json, model.safetensors (F16) and the vocabularies. The loss falls on an endless stream from the grammar, which
never yields a held-out phrase; exact match is measured on 10 000 held-out phrases with the rounded weights, as they ship.
"""
import argparse
import itertools
import json
import math
import os
import random
import struct
import time
from collections import Counter

import torch
from torch import nn

import numbers_en_zh_grammar as grammar

PAD, BOS, EOS = 0, 1, 2
HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = dict(model_type="transformer", src_vocab_size=len(grammar.source_vocabulary()), vocab_size=len(grammar.target_vocabulary()),
              d_model=128, nhead=4, num_encoder_layers=3, num_decoder_layers=2, dim_feedforward=320, activation="relu",
              norm_first=False, positions="sinusoidal", scale_embedding=True, layer_norm_eps=1e-5, pad_token_id=PAD,
              bos_token_id=BOS, eos_token_id=EOS, decoder_start_token_id=BOS, max_position_embeddings=64, is_encoder_decoder=True)
PEAK_LR, WARMUP_STEPS, BATCH, BATCHES_PER_DRAW = 1.5e-3, 500, 384, 16
EMA_DECAY = 0.998


class Seq2Seq(nn.Module):
    """Names as in shared/reference/make_transformer.py: one builder in C serves both."""

    def __init__(self, c):
        super().__init__()
        self.width = c["d_model"]
        self.src_embed = nn.Embedding(c["src_vocab_size"], self.width)
        self.tgt_embed = nn.Embedding(c["vocab_size"], self.width)
        self.transformer = nn.Transformer(self.width, c["nhead"], c["num_encoder_layers"], c["num_decoder_layers"],
                                          c["dim_feedforward"], dropout=0.0, activation=c["activation"],
                                          layer_norm_eps=c["layer_norm_eps"], batch_first=True, norm_first=c["norm_first"])
        self.transformer.encoder.enable_nested_tensor = False  # it would cut trailing padding from the memory
        self.generator = nn.Linear(self.width, c["vocab_size"])
        for embed in (self.src_embed, self.tgt_embed):
            nn.init.normal_(embed.weight, std=self.width**-0.5)  # times sqrt(width) in embed(): unit variance, as the positions
        t = torch.arange(c["max_position_embeddings"], dtype=torch.float32)[:, None]
        w = torch.exp(torch.arange(0, self.width, 2, dtype=torch.float32) * (-math.log(10000.0) / self.width))
        self.positions = torch.stack(((t * w).sin(), (t * w).cos()), dim=-1).flatten(1)

    def embed(self, table, ids):
        return table(ids) * math.sqrt(self.width) + self.positions[: ids.shape[1]]

    def encode(self, src):
        return self.transformer.encoder(self.embed(self.src_embed, src), src_key_padding_mask=src == PAD)

    def decode(self, tgt, memory, src):
        # Padding in the target follows the text, so the causal mask already hides it.
        mask = torch.full((tgt.shape[1],) * 2, float("-inf")).triu(1)
        hidden = self.transformer.decoder(self.embed(self.tgt_embed, tgt), memory, tgt_mask=mask, memory_key_padding_mask=src == PAD)
        return self.generator(hidden)


def pad(rows):
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


class Vocabulary:
    def __init__(self):
        self.src = {token: i for i, token in enumerate(grammar.source_vocabulary())}
        self.tgt_tokens = grammar.target_vocabulary()
        self.tgt = {token: i for i, token in enumerate(self.tgt_tokens)}

    def encode(self, tokens):
        return [self.src[token] for token in tokens] + [EOS]

    def answer(self, text):
        return [BOS] + [self.tgt[c] for c in text] + [EOS]

    def text(self, ids):
        return "".join(self.tgt_tokens[i] for i in ids)


def batches(vocab, seed):
    """Draws several batches at a time and sorts them by length, so that a batch has little padding."""
    stream, rng = grammar.training_pairs(seed), random.Random(seed)
    while True:
        draw = itertools.islice(stream, BATCH * BATCHES_PER_DRAW)
        rows = [(vocab.encode(tokens), vocab.answer(answer)) for tokens, answer in draw]
        rows.sort(key=lambda row: (len(row[1]), len(row[0])))
        starts = list(range(0, len(rows), BATCH))
        rng.shuffle(starts)
        for start in starts:
            src, tgt = zip(*rows[start : start + BATCH])
            yield pad(src), pad(tgt)


@torch.no_grad()
def greedy(model, src):
    memory = model.encode(src)
    out = torch.full((src.shape[0], 1), BOS)
    done = torch.zeros(src.shape[0], dtype=torch.bool)
    while not done.all() and out.shape[1] < CONFIG["max_position_embeddings"]:
        best = model.decode(out, memory, src)[:, -1].argmax(-1)
        best[done] = PAD
        out = torch.cat((out, best[:, None]), 1)
        done |= best == EOS
    return [row[1 : row.index(EOS)] if EOS in row else row[1:] for row in out.tolist()]


def measure(model, vocab, rows):
    """Returns (right by category, all by category, [(phrase, answer, output)] of the wrong ones)."""
    model.eval()
    right, total, wrong = Counter(), Counter(), []
    rows = sorted(rows, key=lambda row: len(row[1]))
    for start in range(0, len(rows), 500):
        part = rows[start : start + 500]
        outputs = greedy(model, pad([vocab.encode(grammar.normalise(phrase)) for phrase, _, _ in part]))
        for (phrase, answer, name), ids in zip(part, outputs):
            total[name] += 1
            right[name] += vocab.text(ids) == answer
            if vocab.text(ids) != answer:
                wrong.append((phrase, answer, vocab.text(ids)))
    model.train()
    return right, total, wrong


def report(log, right, total, wrong):
    n_right, n_all = sum(right.values()), sum(total.values())
    log(f"held-out exact match: {n_right}/{n_all} = {100 * n_right / n_all:.2f} %")
    for name in sorted(total):
        log(f"  {name:9s} {right[name]:5d}/{total[name]:<5d} {100 * right[name] / total[name]:.2f} %")
    for phrase, answer, output in wrong[:40]:
        log(f"  wrong: {phrase} | {answer} | {output}")


def write_safetensors(path, tensors):
    """8 bytes of header length, JSON header padded with spaces to 8, then the data back to back; names sorted."""
    header, blobs, offset = {}, [], 0
    for name in sorted(tensors):
        data = tensors[name].half().contiguous().numpy().tobytes()
        header[name] = dict(dtype="F16", shape=list(tensors[name].shape), data_offsets=[offset, offset + len(data)])
        blobs.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = bytearray(f.read())
    out = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        values = torch.frombuffer(data, dtype=torch.float16, count=(last - first) // 2, offset=first)
        out[name] = values.reshape(entry["shape"]).float()
    return out


def save(folder, state):
    os.makedirs(folder, exist_ok=True)
    grammar.write_vocabularies(folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(CONFIG, f, indent=1)
        f.write("\n")
    write_safetensors(os.path.join(folder, "model.safetensors"), state)


def load(folder):
    model = Seq2Seq(CONFIG)
    model.load_state_dict(read_safetensors(os.path.join(folder, "model.safetensors")))
    return model


def train(args, log):
    torch.manual_seed(args.seed)
    vocab, model = Vocabulary(), Seq2Seq(CONFIG)
    n_params = sum(p.numel() for p in model.parameters())
    log(f"seed {args.seed}, {n_params} parameters, {args.steps} steps of {BATCH}, peak lr {PEAK_LR}, torch {torch.__version__}")
    average = {name: p.detach().clone() for name, p in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    probe = grammar.heldout(1000, seed=1)  # to follow the run; the result is measured on the other list
    start, mean_loss, stream = time.time(), None, batches(vocab, args.seed)
    for step in range(1, args.steps + 1):
        scale = min(step / WARMUP_STEPS, 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * scale
        src, tgt = next(stream)
        with torch.autocast("cpu", torch.bfloat16):  # weights stay fp32; four times faster where the CPU has bf16 products
            logits = model.decode(tgt[:, :-1], model.encode(src), src)
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), tgt[:, 1:].flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay = min(EMA_DECAY, step / (step + 10))
        for name, p in model.state_dict().items():
            average[name].lerp_(p, 1 - decay)
        mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
        if step % 100 == 0:
            log(f"step {step:5d}  {time.time() - start:6.0f} s  loss {mean_loss:.5f}")
        if step % 1000 == 0 or step == args.steps:
            save(args.out, average)
            right, total, _ = measure(load(args.out), vocab, probe)
            log(f"step {step:5d}  probe, 1000 other held-out phrases: {sum(right.values())} right")
    log(f"trained in {time.time() - start:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=11000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default=os.path.join(HERE, "numbers-en-zh"))
    parser.add_argument("--log", default=os.path.join(HERE, "numbers_en_zh_train.log"))
    parser.add_argument("--evaluate", action="store_true", help="measure the model in --out, train nothing")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with open(os.devnull if args.evaluate else args.log, "w", encoding="utf-8") as f:

        def log(line):
            print(line, flush=True)
            print(line, file=f, flush=True)

        if not args.evaluate:
            train(args, log)
        size = os.path.getsize(os.path.join(args.out, "model.safetensors"))
        log(f"model.safetensors: {size} bytes; weights rounded to fp16, arithmetic in fp32, greedy")
        report(log, *measure(load(args.out), Vocabulary(), grammar.heldout(10_000)))


if __name__ == "__main__":
    main()
