"""Fitting what can be learned: resumable, seeded, weights out as safetensors."""
