"""Small random Transformer-XL models with the options of the authors' code (Dai et al. 2019, arXiv 1901.02860), and what
they give: segments with memory, and a greedy continuation with the memory carried from token to token. Written from the
paper. Makes the folders beside it:

    python3 make.py                     # needs torch and numpy

reference.safetensors: in.segment.I [B,T]; out.log_probs.I, out.hidden.I, out.attentions.I.L, out.mems.I.L [M,B,C];
in.prompt and out.greedy: the prompt as one segment, then one token at a time.
"""
import json, math, os, struct
import numpy as np, torch

SMALL = dict(V=31, C=16, E=16, H=2, D=8, L=2, F=24, M=5, T=[4, 4, 4], B=1, cut=[9, 18], div=2, clamp=-1, same_length=False,
             pre_lnorm=False, untie_r=True, ext=0, tied=True, tie_projs=False, order="falling", apart=False, prompt=6, new=20)
MODELS = {
    "options": dict(pre_lnorm=True, clamp=3, untie_r=False, B=2, T=[5, 3, 9, 1], order="rising", tied=False),
    "same-length": dict(same_length=True, div=1, E=10, T=[3, 7, 2], tie_projs=True),
    "sizes": dict(C=30, E=36, H=3, D=7, M=3, L=3, div=3, cut=[5, 11, 20], ext=2, T=[6, 1, 5], prompt=11),
    "no-memory": dict(M=0, cut=[], E=10, T=[4, 3]),
    "apart": dict(div=1, apart=True, T=[3, 5]),  # no div_val, but a table and a matrix a cluster
}


def save(path, tensors):
    header, parts, at = {}, [], 0
    for name, t in tensors.items():
        data = np.ascontiguousarray(t.numpy()).tobytes()
        header[name] = dict(dtype={torch.float32: "F32", torch.int64: "I64"}[t.dtype], shape=list(t.shape), data_offsets=[at, at + len(data)])
        at += len(data); parts.append(data)
    text = json.dumps(header).encode(); text += b" " * (-len(text) % 8)
    with open(path, "wb") as f: f.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


class Model:
    def __init__(self, seed, **o):
        self.o, self.W = o, {}
        self.ends = [0] + o["cut"] + [o["V"]]; self.n = len(self.ends) - 1
        self.g = torch.Generator().manual_seed(seed)
        self.one = o["div"] == 1 and not o["apart"]  # table of all words
        self.projected = not self.one or o["E"] != o["C"]
        self.make_words(); self.make_layers()

    def rand(self, name, *dims, std=None):
        self.W[name] = torch.randn(*dims, generator=self.g) * (std if std is not None else dims[-1] ** -0.5)

    def make_words(self):
        o, rand = self.o, self.rand
        for i in range(self.n):
            e = o["E"] // o["div"] ** i
            if not self.one or i == 0:
                rows = o["V"] if self.one else self.ends[i + 1] - self.ends[i]
                rand(f"transformer.word_emb.emb_layers.{i}.weight", rows, e, std=0.3); rand(f"crit.out_layers.{i}.bias", rows, std=0.1)
                if not o["tied"]: rand(f"crit.out_layers.{i}.weight", rows, e, std=0.3)
                if self.projected: rand(f"transformer.word_emb.emb_projs.{i}", o["C"], e)
            if self.projected and not o["tie_projs"]: rand(f"crit.out_projs.{i}", o["C"], e)
        if self.n > 1: rand("crit.cluster_weight", self.n - 1, o["E"]); rand("crit.cluster_bias", self.n - 1, std=0.1)

    def make_layers(self):
        o, rand = self.o, self.rand; C, H, D, F = o["C"], o["H"], o["D"], o["F"]
        for l in range(o["L"]):
            a, f = f"transformer.layers.{l}.dec_attn.", f"transformer.layers.{l}.pos_ff."
            rand(a + "qkv_net.weight", 3 * H * D, C); rand(a + "r_net.weight", H * D, C); rand(a + "o_net.weight", C, H * D)
            if o["untie_r"]: rand(a + "r_w_bias", H, D, std=0.3); rand(a + "r_r_bias", H, D, std=0.3)
            rand(f + "CoreNet.0.weight", F, C); rand(f + "CoreNet.0.bias", F, std=0.1)
            rand(f + "CoreNet.3.weight", C, F); rand(f + "CoreNet.3.bias", C, std=0.1)
            for p in (a, f): rand(p + "layer_norm.weight", C, std=0.1); self.W[p + "layer_norm.weight"] += 1; rand(p + "layer_norm.bias", C, std=0.1)
        if not o["untie_r"]: rand("transformer.r_w_bias", H, D, std=0.3); rand("transformer.r_r_bias", H, D, std=0.3)

    def embed(self, ids):
        y = torch.zeros(*ids.shape, self.o["C"])
        for i in range(self.n):
            here, one = (ids >= self.ends[i]) & (ids < self.ends[i + 1]), self.one
            x = self.W[f"transformer.word_emb.emb_layers.{0 if one else i}.weight"][ids[here] - (0 if one else self.ends[i])]
            y[here] = x @ self.W[f"transformer.word_emb.emb_projs.{0 if one else i}"].T if self.projected else x
        return y * math.sqrt(self.o["C"])

    def norm(self, x, name):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], self.W[name + "layer_norm.weight"], self.W[name + "layer_norm.bias"], 1e-5)

    def attention(self, l, h, memory):
        """The paper's four terms: (a) + (c) by content, (b) + (d) by distance."""
        o, W, p = self.o, self.W, f"transformer.layers.{l}.dec_attn."; H, D, C = o["H"], o["D"], o["C"]
        both = torch.cat([memory, h], 1); B, K, T = h.shape[0], both.shape[1], h.shape[1]
        if o["pre_lnorm"]: both = self.norm(both, p)
        q, k, v = (x.reshape(B, K, H, D) for x in (both @ W[p + "qkv_net.weight"].T).chunk(3, -1))
        distances = torch.arange(K).float()
        if o["clamp"] > 0: distances = distances.clamp(max=o["clamp"])
        angles = distances[:, None] / 10000 ** (torch.arange(0, C, 2) / C)
        r = (torch.cat([angles.sin(), angles.cos()], -1) @ W[p + "r_net.weight"].T).view(K, H, D)
        where = p if o["untie_r"] else "transformer."
        content = torch.einsum("bihd,bjhd->bhij", q[:, -T:] + W[where + "r_w_bias"], k)
        place = torch.einsum("bihd,nhd->bhin", q[:, -T:] + W[where + "r_r_bias"], r)
        far = torch.arange(T)[:, None] + K - T - torch.arange(K)[None]
        place = place.gather(3, far.clamp(min=0).expand(B, H, T, K))
        absent = far < 0
        if o["same_length"]: absent = absent | (far >= o["M"])
        weights = ((content + place) / math.sqrt(D)).masked_fill(absent, float("-inf")).softmax(-1)
        return torch.einsum("bhij,bjhd->bihd", weights, v).reshape(B, T, H * D) @ W[p + "o_net.weight"].T, weights

    def layer(self, l, h, memory):
        a, f = f"transformer.layers.{l}.dec_attn.", f"transformer.layers.{l}.pos_ff."; W = self.W
        y, weights = self.attention(l, h, memory)
        h = h + y if self.o["pre_lnorm"] else self.norm(h + y, a)
        x = self.norm(h, f) if self.o["pre_lnorm"] else h
        x = h + torch.relu(x @ W[f + "CoreNet.0.weight"].T + W[f + "CoreNet.0.bias"]) @ W[f + "CoreNet.3.weight"].T + W[f + "CoreNet.3.bias"]
        return (x if self.o["pre_lnorm"] else self.norm(x, f)), weights

    def words(self, i, h):
        o, W, one = self.o, self.W, self.one; j = 0 if one else i
        if self.projected: h = h @ W[f"transformer.word_emb.emb_projs.{j}" if o["tie_projs"] else f"crit.out_projs.{i}"]
        rows = slice(self.ends[i], self.ends[i + 1]) if one else slice(None)
        return h, h @ W[f"transformer.word_emb.emb_layers.{j}.weight" if o["tied"] else f"crit.out_layers.{j}.weight"][rows].T + W[f"crit.out_layers.{j}.bias"][rows]

    def log_probs(self, h):
        seen, head = self.words(0, h)
        if self.n == 1: return head.log_softmax(-1)
        head = torch.cat([head, seen @ self.W["crit.cluster_weight"].T + self.W["crit.cluster_bias"]], -1).log_softmax(-1)
        out = [head[..., : self.ends[1]]]
        for i in range(1, self.n):
            gate = -i if self.o["order"] == "falling" else self.ends[1] + i - 1
            out.append(self.words(i, h)[1].log_softmax(-1) + head[..., gate, None])
        return torch.cat(out, -1)

    def segment(self, ids, memory, skipped):
        hidden, maps = [self.embed(ids)], []
        for l in range(self.o["L"]):
            h, weights = self.layer(l, hidden[-1], memory[l]); hidden.append(h); maps.append(weights)
        end = memory[0].shape[1] + max(0, ids.shape[1] - skipped); start = max(0, end - self.o["M"])
        return hidden[-1], maps, [torch.cat([m, h], 1)[:, start:end] for m, h in zip(memory, hidden)]

    def empty(self, batch):
        return [torch.zeros(batch, 0, self.o["C"]) for _ in range(self.o["L"] + 1)]


def run(m, o):
    ref, memory = {}, m.empty(o["B"])
    for s, length in enumerate(o["T"]):
        ids = ref[f"in.segment.{s}"] = torch.randint(0, o["V"], (o["B"], length), generator=m.g)
        h, maps, memory = m.segment(ids, memory, o["ext"])
        ref[f"out.hidden.{s}"], ref[f"out.log_probs.{s}"] = h, m.log_probs(h)
        for l, x in enumerate(maps): ref[f"out.attentions.{s}.{l}"] = x
        for l, x in enumerate(memory): ref[f"out.mems.{s}.{l}"] = x.transpose(0, 1)
    memory, ids = m.empty(1), torch.randint(0, o["V"], (1, o["prompt"]), generator=m.g)
    ref["in.prompt"] = whole = ids
    for _ in range(o["new"]):
        h, _, memory = m.segment(ids, memory, 0)
        ids = m.log_probs(h)[:, -1:].argmax(-1); whole = torch.cat([whole, ids], 1)
    ref["out.greedy"] = whole
    return ref


for seed, (name, own) in enumerate(MODELS.items()):
    o = {**SMALL, **own}; m = Model(seed, **o); folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    os.makedirs(folder, exist_ok=True)
    save(os.path.join(folder, "reference.safetensors"), run(m, o)); save(os.path.join(folder, "model.safetensors"), m.W)
    json.dump(dict(model_type="transfo-xl", architectures=["TransfoXLLMHeadModel"], vocab_size=o["V"], cutoffs=o["cut"], d_model=o["C"], d_embed=o["E"],
                   n_head=o["H"], d_head=o["D"], d_inner=o["F"], div_val=o["div"], n_layer=o["L"], mem_len=o["M"], ext_len=o["ext"], clamp_len=o["clamp"],
                   same_length=o["same_length"], pre_lnorm=o["pre_lnorm"], untie_r=o["untie_r"], tie_word_embeddings=o["tied"], tie_projs=[o["tie_projs"]] * m.n,
                   proj_share_all_but_first=False, cluster_order=o["order"], eos_token_id=0), open(os.path.join(folder, "config.json"), "w"), indent=1)
