"""Makes the pictures of this folder and what PIL and Hugging Face's processors make of them (expected.safetensors).

    python3 make_images.py OUT        # Pillow 12 or later, transformers 5.12, torch, safetensors
"""
import json, os, sys
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

out = sys.argv[1]
os.makedirs(out, exist_ok=True)
r = np.random.default_rng(11)
expected = {}


def put(name, a):
    expected[name] = torch.from_numpy(np.ascontiguousarray(a))


def scene(h, w):
    y, x = np.mgrid[0:h, 0:w]
    a = np.stack([x * 255 // (w - 1), y * 255 // (h - 1), ((x // 3 + y // 2) % 2) * 255], -1)
    return np.clip(a + r.integers(-20, 21, a.shape), 0, 255).astype(np.uint8)


rgb = Image.fromarray(scene(23, 37))
alpha = Image.fromarray(np.concatenate([np.asarray(rgb), r.integers(0, 256, (23, 37, 1), dtype=np.uint8)], -1), "RGBA")
gray16 = (r.integers(0, 65536, (9, 12))).astype(np.uint16)
pictures = {
    "rgb.png": rgb,
    "alpha.png": alpha,
    "gray.png": rgb.convert("L"),
    "palette.png": rgb.quantize(16),
    "bits.png": rgb.convert("1"),
    "rgb.bmp": rgb,
    "rgb.ppm": rgb,
    "rgb.gif": rgb.quantize(32),
    "gray16.png": Image.fromarray(gray16),
}
for name, image in pictures.items():
    image.save(os.path.join(out, name))
rgb.save(os.path.join(out, "rgb.jpg"), quality=95, subsampling=0)
for name in pictures:
    if name == "gray16.png":
        put(name, np.repeat((gray16 >> 8).astype(np.uint8)[..., None], 3, -1))
    else:
        put(name, np.asarray(Image.open(os.path.join(out, name)).convert("RGB")))
put("rgb.jpg", np.asarray(rgb))  # before it was compressed
put("rgb as gray", np.asarray(rgb.convert("L"))[..., None])

for f in range(6):
    for w, h in ((37, 23), (1, 1), (16, 16), (80, 7), (5, 61), (37, 40), (90, 23)):
        put(f"resize {f} {w} {h}", np.asarray(rgb.resize((w, h), f)))

cases = {
    "vit": (ViTImageProcessorPil, dict(size={"height": 20, "width": 31}, resample=2)),
    "clip": (CLIPImageProcessorPil, dict(size={"shortest_edge": 21}, crop_size={"height": 16, "width": 19})),
    "pad": (CLIPImageProcessorPil, dict(size={"shortest_edge": 9}, crop_size={"height": 12, "width": 26}, resample=0)),
    "plain": (ViTImageProcessorPil, dict(do_resize=False, do_normalize=False)),
    "raw": (ViTImageProcessorPil, dict(size={"height": 8, "width": 8}, do_rescale=False, do_normalize=False, resample=1)),
    "factor": (ViTImageProcessorPil, dict(size={"height": 8, "width": 8}, rescale_factor=1 / 127.5, image_mean=[1, 1.1, 0.9],
                                          image_std=[1, 2, 0.5], resample=3)),
}
for name, (cls, settings) in cases.items():
    p = cls(**settings)
    put("prepared " + name, p(images=rgb, return_tensors="np")["pixel_values"][0].astype(np.float32))
    with open(os.path.join(out, name + ".json"), "w") as f:
        json.dump(json.loads(p.to_json_string()), f, indent=1)
save_file(expected, os.path.join(out, "expected.safetensors"))
print(len(expected), "arrays")
