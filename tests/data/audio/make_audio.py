#!/usr/bin/env python3
"""Makes chirp.wav (one second, 16 kHz: a rising voice-like sound, a click, noise, silence) and the first 110 frames of what
Hugging Face's WhisperFeatureExtractor makes of it with 80 and with 128 bands. Usage: make_audio.py OUT_FOLDER"""
import sys, wave
import numpy as np
from safetensors.numpy import save_file
from transformers import WhisperFeatureExtractor

rate = 16000
t = np.arange(rate) / rate
g = np.random.default_rng(7)
phase = 2 * np.pi * np.cumsum(120 + 180 * t) / rate
x = sum(np.sin(k * phase) * 0.25 / k for k in range(1, 24)) * np.clip(np.sin(np.pi * t / 0.55), 0, 1) * (t < 0.55)
x[9600] += 0.8
x += (t > 0.7) * (t < 0.85) * g.standard_normal(rate) * 0.05
pcm = np.clip(np.round(x * 32768), -32768, 32767).astype("<i2")
with wave.open(sys.argv[1] + "/chirp.wav", "wb") as w:
    w.setparams((1, 2, rate, 0, "NONE", ""))
    w.writeframes(pcm.tobytes())
out = {}
for n in (80, 128):
    f = WhisperFeatureExtractor(feature_size=n)(pcm.astype(np.float32) / 32768, sampling_rate=rate, return_tensors="np").input_features
    assert f.shape == (1, n, 3000)
    out[f"mel{n}"] = np.ascontiguousarray(f[0, :, :110].astype(np.float32))
save_file(out, sys.argv[1] + "/chirp-logmel.safetensors")
